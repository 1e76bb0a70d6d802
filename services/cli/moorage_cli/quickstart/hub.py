"""A small server that speaks as much of the Hugging Face hub's protocol as pulling models takes.

It serves a folder of repositories (`moorage_cli.quickstart.hub_repos` says how it is laid out): repository
metadata with LFS digests, branches, file trees, and content by ranges, LFS files through a redirect as from the
real hub. The quickstart pulls its model from it; tests also make it misbehave.

    python -m moorage_cli.quickstart.hub --root ./models --port 7999 --rate 2000000

    async with Hub(root) as hub:
        hub.faults.cuts = 1
        ... hub.url ... hub.seen.body_bytes
"""

import argparse
import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from moorage_cli.quickstart.hub_faults import Faults, Seen, SeenRequest
from moorage_cli.quickstart.hub_repos import Repo, RepoFile, RepoFolder

_CHUNK_BYTES = 64 << 10
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Hub:
    """The server. An async context manager: it serves while it is entered.

    Args:
        root: The folder of repositories.
        host: Address to listen on.
        port: Port to listen on; 0: a free one.
        cdn_host: Name of this machine that LFS files are redirected to; empty: the one that was asked.
        token: What must be shown as a bearer token to see anything; empty: nothing.
    """

    def __init__(
        self, root: Path, *, host: str = "127.0.0.1", port: int = 0, cdn_host: str = "", token: str = ""
    ) -> None:
        self.faults = Faults()
        self.seen = Seen()
        self._repos = RepoFolder(root)
        self._host, self._port, self._cdn_host, self._token = host, port, cdn_host, token
        self._runner = web.AppRunner(self._application(), shutdown_timeout=0.1)

    @property
    def url(self) -> str:
        """Where it listens, e.g. ``http://127.0.0.1:41234``."""
        return f"http://{self._host}:{self._port}"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._gate])
        repo = "{repo:[^/]+/[^/]+}"
        application.router.add_get(f"/api/models/{repo}", self._get_info)
        application.router.add_get(f"/api/models/{repo}/revision/{{revision}}", self._get_info)
        application.router.add_get(f"/api/models/{repo}/refs", self._get_refs)
        application.router.add_get(f"/api/models/{repo}/tree/{{revision}}", self._get_tree)
        application.router.add_get(f"/{repo}/resolve/{{revision}}/{{path:.+}}", self._get_file)
        application.router.add_get("/lfs/{sha256}", self._get_lfs)
        return application

    @web.middleware
    async def _gate(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        self.seen.requests.append(
            SeenRequest(
                method=request.method,
                path=request.path,
                host=request.host,
                range=request.headers.get("Range", ""),
                authorization=request.headers.get("Authorization", ""),
            )
        )
        if self.faults.strike("failures"):
            return web.Response(status=self.faults.failure_status, headers=self.faults.failure_headers)
        is_open = not self._token or request.path.startswith("/lfs/")
        if not is_open and request.headers.get("Authorization") != f"Bearer {self._token}":
            return _refusal(401, "", "Invalid credentials in Authorization header")
        return await handler(request)

    async def _find(self, request: web.Request) -> Repo | web.Response:
        name = request.match_info["repo"]
        if not await asyncio.to_thread(self._repos.exists, name):
            return _refusal(404, "RepoNotFound", "Repository not found")
        revision = request.match_info.get("revision", "main")
        repo = await asyncio.to_thread(self._repos.find, name, revision)
        return repo or _refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")

    async def _get_info(self, request: web.Request) -> web.StreamResponse:
        repo = await self._find(request)
        if isinstance(repo, web.Response):
            return repo
        with_blobs = request.query.get("blobs", "").lower() == "true"
        siblings = [_sibling(file, with_blobs=with_blobs) for file in repo.files]
        return web.json_response(
            {"id": repo.name, "modelId": repo.name, "sha": repo.commit, "siblings": siblings, "tags": []}
        )

    async def _get_refs(self, request: web.Request) -> web.StreamResponse:
        branches = await asyncio.to_thread(self._repos.branches, request.match_info["repo"])
        refs = [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
            for name, commit in branches.items()
        ]
        return web.json_response({"branches": refs, "converts": [], "tags": []})

    async def _get_tree(self, request: web.Request) -> web.StreamResponse:
        repo = await self._find(request)
        if isinstance(repo, web.Response):
            return repo
        return web.json_response([_tree_entry(file) for file in repo.files])

    async def _get_file(self, request: web.Request) -> web.StreamResponse:
        repo = await self._find(request)
        if isinstance(repo, web.Response):
            return repo
        file = repo.file(request.match_info["path"])
        if file is None:
            return _refusal(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": repo.commit, "ETag": f'"{file.etag}"'}
        if not file.is_lfs:
            return await self._send(request, file, headers)
        headers |= {"X-Linked-Size": str(file.size), "X-Linked-ETag": f'"{file.sha256}"'}
        base = f"http://{self._cdn_host}:{self._port}" if self._cdn_host else ""
        return web.Response(status=302, headers=headers | {"Location": f"{base}/lfs/{file.sha256}"})

    async def _get_lfs(self, request: web.Request) -> web.StreamResponse:
        file = await asyncio.to_thread(self._repos.by_sha256, request.match_info["sha256"])
        if file is None:
            return _refusal(404, "EntryNotFound", "Entry not found")
        return await self._send(request, file, {"ETag": f'"lfs-{file.sha256[:32]}"'})

    async def _send(
        self, request: web.Request, file: RepoFile, headers: dict[str, str]
    ) -> web.StreamResponse:
        if self.faults.etag_salt:
            headers["ETag"] = f'{headers["ETag"][:-1]}-{self.faults.etag_salt}"'
        size = max(0, file.size - self.faults.withheld_bytes)
        start, end = 0, size
        asked = _RANGE.fullmatch(request.headers.get("Range", ""))
        if asked and request.headers.get("If-Range", headers["ETag"]) == headers["ETag"]:
            start, end = int(asked[1]), min(size, int(asked[2] or size) + 1)
            if start >= size:
                return web.Response(status=416, headers=headers | {"Content-Range": f"bytes */{size}"})
        if asked and self.faults.strike("ignored_ranges"):
            asked, start, end = None, 0, size
        if asked and self.faults.strike("wrong_ranges"):
            start += 1
        is_part = (start, end) != (0, size)
        response = web.StreamResponse(status=206 if is_part else 200, headers=headers)
        response.content_type = "application/octet-stream"
        response.headers["Accept-Ranges"] = "bytes"
        response.content_length = end - start
        if is_part:
            response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        await response.prepare(request)
        if request.method != "HEAD":
            # Whoever asked may leave at any time.
            with suppress(ConnectionResetError):
                await self._send_body(request, response, file, start, end)
        return response

    async def _send_body(
        self, request: web.Request, response: web.StreamResponse, file: RepoFile, start: int, end: int
    ) -> None:
        faults = self.faults
        flip_at = faults.flip_offset if start <= faults.flip_offset < end and faults.strike("flips") else -1
        cut_at, stall_at = start + faults.cut_after_bytes, start + faults.stall_after_bytes
        cut_at = cut_at if cut_at < end and faults.strike("cuts") else end
        stall_at = stall_at if stall_at < end and faults.strike("stalls") else end
        stop_at = min(cut_at, stall_at)
        while start < stop_at:
            chunk = await asyncio.to_thread(_read, file.location, start, min(_CHUNK_BYTES, stop_at - start))
            if start <= flip_at < start + len(chunk):
                chunk = _flipped(chunk, flip_at - start)
            # Counted first: what is cut off on the way out was sent all the same.
            self.seen.count(file, len(chunk))
            await response.write(chunk)
            start += len(chunk)
            if faults.rate_bytes_per_s:
                await asyncio.sleep(len(chunk) / faults.rate_bytes_per_s)
        if stop_at == stall_at < end:
            await asyncio.Event().wait()
        if stop_at < end and request.transport is not None:
            request.transport.abort()


def _read(location: Path, offset: int, length: int) -> bytes:
    with location.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _flipped(chunk: bytes, at: int) -> bytes:
    return chunk[:at] + bytes([chunk[at] ^ 0xFF]) + chunk[at + 1 :]


def _refusal(status: int, code: str, message: str) -> web.Response:
    headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
    return web.json_response({"error": message}, status=status, headers=headers)


def _lfs(file: RepoFile) -> dict[str, Any]:
    return {"sha256": file.sha256, "size": file.size, "pointerSize": 134}


def _sibling(file: RepoFile, *, with_blobs: bool) -> dict[str, Any]:
    sibling: dict[str, Any] = {"rfilename": file.path}
    if with_blobs:
        sibling |= {"size": file.size, "blobId": file.git_blob_id}
        sibling |= {"lfs": _lfs(file)} if file.is_lfs else {}
    return sibling


def _tree_entry(file: RepoFile) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": "file",
        "path": file.path,
        "size": file.size,
        "oid": file.git_blob_id,
    }
    lfs = {"oid": file.sha256, "size": file.size, "pointerSize": 134}
    return entry | ({"lfs": lfs} if file.is_lfs else {})


async def serve(root: Path, *, host: str, port: int, rate_bytes_per_s: float) -> None:
    """Serves a folder until cancelled."""
    async with Hub(root, host=host, port=port) as hub:
        hub.faults.rate_bytes_per_s = rate_bytes_per_s
        print(f"serving {root} at {hub.url}", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Runs the server from the command line."""
    parser = argparse.ArgumentParser(
        prog="moorage-hub", description="Serve a folder of models as a hub does."
    )
    parser.add_argument("--root", type=Path, required=True, help="folder of <org>/<name>/ repositories")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0: a free one")
    parser.add_argument("--rate", type=float, default=0.0, help="bytes a second per file; 0: no limit")
    options = parser.parse_args()
    try:
        asyncio.run(serve(options.root, host=options.host, port=options.port, rate_bytes_per_s=options.rate))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
