"""The hub against the client library that it imitates the real one for."""

import asyncio
import hashlib
import os
from pathlib import Path

import aiohttp
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

from moorage_cli.quickstart.hub import Hub

CONTENT = os.urandom(300_000)


@pytest.fixture
def repo(add_file):
    add_file("sub/m.gguf", CONTENT)
    add_file("README.md", b"hello\n")
    add_file("m.gguf", b"older", repo="org/model@v1")


async def call(function, *args, **options):
    return await asyncio.to_thread(function, *args, **options)


async def test_describes_repositories_with_their_digests(hub, repo):
    info = await call(HfApi(endpoint=hub.url, token=False).model_info, "org/model", files_metadata=True)
    weights, readme = (
        next(sibling for sibling in info.siblings if sibling.rfilename == name)
        for name in ("sub/m.gguf", "README.md")
    )
    assert weights.lfs.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert (weights.size, readme.size, readme.lfs) == (300_000, 6, None)
    assert readme.blob_id == "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object
    assert len(info.sha) == 40


async def test_revisions_are_branches_and_commits(hub, repo, add_file):
    api = HfApi(endpoint=hub.url, token=False)
    main = await call(api.model_info, "org/model")
    refs = {ref.name: ref.target_commit for ref in (await call(api.list_repo_refs, "org/model")).branches}
    assert refs["main"] == main.sha
    old = await call(api.model_info, "org/model", revision=refs["v1"])
    assert [sibling.rfilename for sibling in old.siblings] == ["m.gguf"]
    tree = await call(lambda: list(api.list_repo_tree("org/model", revision="v1")))
    assert tree[0].path == "m.gguf"
    add_file("README.md", b"changed\n")
    assert (await call(api.model_info, "org/model")).sha != main.sha
    with pytest.raises(RevisionNotFoundError):
        await call(api.model_info, "org/model", revision=main.sha)
    with pytest.raises(RepositoryNotFoundError):
        await call(api.model_info, "org/other")


async def test_the_library_downloads_from_it_without_showing_the_token_elsewhere(hub_root, repo, tmp_path):
    async with Hub(hub_root, cdn_host="localhost", token="secret") as hub:
        api = HfApi(endpoint=hub.url, token="secret")
        path = await call(api.hf_hub_download, "org/model", "sub/m.gguf", cache_dir=tmp_path / "cache")
        assert (await asyncio.to_thread(Path(path).read_bytes)) == CONTENT
        assert {(seen.host.split(":")[0], seen.authorization) for seen in hub.seen.requests} == {
            ("127.0.0.1", "Bearer secret"),
            ("localhost", ""),
        }
        with pytest.raises(Exception, match="401"):
            await call(HfApi(endpoint=hub.url, token="wrong").model_info, "org/model")


async def get(hub, **headers):
    async with aiohttp.ClientSession() as session:
        url = f"{hub.url}/org/model/resolve/main/sub/m.gguf"
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        async with session.get(url, headers=headers) as response:
            return response.status, response.headers, await response.read()


async def test_ranges(hub, repo):
    status, headers, body = await get(hub, Range="bytes=100-199")
    assert (status, body) == (206, CONTENT[100:200])
    assert headers["Content-Range"] == "bytes 100-199/300000"
    assert (await get(hub, Range="bytes=299990-", If_Range=headers["ETag"]))[2] == CONTENT[-10:]
    status, _, body = await get(hub, Range="bytes=299990-", If_Range='"other"')
    assert (status, body) == (200, CONTENT)
    assert (await get(hub, Range="bytes=300000-"))[0] == 416
    assert hub.seen.bytes_by_file["m.gguf"] == hub.seen.body_bytes == 100 + 10 + 300_000


async def test_misbehaves_as_told(hub, repo):
    hub.faults.failures = 1
    assert (await get(hub))[0] == 503
    hub.faults.flips, hub.faults.flip_offset = 1, 200_000
    body = (await get(hub))[2]
    assert [n for n in range(len(CONTENT)) if body[n] != CONTENT[n]] == [200_000]
    hub.faults.wrong_ranges = hub.faults.ignored_ranges = 1
    assert (await get(hub, Range="bytes=10-"))[0] == 200
    status, headers, body = await get(hub, Range="bytes=10-")
    assert (status, headers["Content-Range"], body) == (206, "bytes 11-299999/300000", CONTENT[11:])
    hub.faults.cuts, hub.faults.cut_after_bytes = 1, 1000
    with pytest.raises(aiohttp.ClientError):
        await get(hub)
    hub.faults.withheld_bytes = 7
    assert (await get(hub))[2] == CONTENT[:-7]
    hub.faults.withheld_bytes = 0
    before = (await get(hub))[1]["ETag"]
    hub.faults.etag_salt = "new"
    assert (await get(hub))[1]["ETag"] != before
