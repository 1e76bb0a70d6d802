"""``hf:`` sources: repositories on the Hugging Face hub, or on a server that speaks its protocol.

The client library tells what a repository holds: its commit, files, sizes and digests, with authorisation. The
bytes are read by `moorage_downloader.sources.http_reader`, because the library checks no digest, does not resume
across processes, and takes names for paths as they come.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import httpx2
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import ModelInfo, RepoSibling

from moorage_common.core.errors import ErrorReason, MoorageError, NotFound, PermissionDenied
from moorage_downloader.core.artifact import Artifact, ArtifactFile, DigestOrigin
from moorage_downloader.core.file_names import check_file_names
from moorage_downloader.core.http_rules import Origin, status_error
from moorage_downloader.core.selection import not_found, select_model
from moorage_downloader.core.source_ref import HubRef
from moorage_downloader.sources.contract import OpenedFile, source_unavailable, source_unusable
from moorage_downloader.sources.daemon_thread import run_in_daemon_thread
from moorage_downloader.sources.http_reader import HttpReader, RemoteFile


class HubSource:
    """Reads repositories on the hub.

    Args:
        http: For the bytes.
        endpoint: URL of the hub.
        token: Shown to the hub and to nobody else. Empty: none.
        timeout_s: Seconds for the hub to describe a repository.
    """

    def __init__(self, http: HttpReader, *, endpoint: str, token: str = "", timeout_s: float = 20.0) -> None:
        self._http = http
        self._endpoint = endpoint.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        # False keeps the library from looking for tokens by itself.
        self._api = HfApi(endpoint=self._endpoint, token=token or False)

    async def resolve(self, ref: HubRef) -> Artifact:
        """Pins a repository to a commit and chooses the one model that the reference names."""
        info = await self._model_info(ref)
        siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
        selection = select_model(siblings, wanted=ref.path, source=str(ref))
        check_file_names(selection.paths)
        if not info.sha:
            raise source_unusable(str(ref), "the hub names no commit")
        return Artifact(
            source=str(ref.pinned(commit=info.sha, path=selection.entry_point)),
            revision=info.sha,
            files=tuple(_file(ref, siblings[path]) for path in selection.paths),
            entry_point=selection.entry_point,
        )

    async def confirm(self, ref: HubRef, artifact: Artifact) -> None:
        """A commit does not change, and digests are checked: there is nothing to ask."""

    @asynccontextmanager
    async def open(
        self,
        ref: HubRef,
        artifact: Artifact,
        file: ArtifactFile,
        *,
        offset: int = 0,
        length: int | None = None,
        validator: str = "",
    ) -> AsyncIterator[OpenedFile]:
        """Opens a file of the model."""
        promised = {"X-Repo-Commit": ref.revision, "X-Linked-Size": str(file.size_bytes)}
        if file.sha256:
            promised["X-Linked-Etag"] = file.sha256
        remote = RemoteFile(
            url=f"{self._endpoint}/{ref.repo}/resolve/{quote(ref.revision, safe='')}/{quote(file.path)}",
            source=artifact.source,
            size=file.size_bytes,
            token=self._token,
            promised=promised,
        )
        async with self._http.open(remote, offset=offset, length=length, validator=validator) as opened:
            yield opened

    async def _model_info(self, ref: HubRef) -> ModelInfo:
        source = str(ref)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await run_in_daemon_thread(lambda: self._ask(ref))
        except TimeoutError as error:
            raise source_unavailable(source, f"the hub took longer than {self._timeout_s:g} s") from error
        except HfHubHTTPError as error:
            raise _hub_error(source, error) from error
        except (httpx2.HTTPError, OSError) as error:
            host = Origin.of(self._endpoint).host
            raise source_unavailable(source, f"cannot reach {host}: {str(error)[:200]}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            # What the library raises for answers that are not those of a hub.
            raise source_unusable(source, "the hub's answer cannot be understood") from error

    def _ask(self, ref: HubRef) -> ModelInfo:
        return self._api.model_info(
            ref.repo, revision=ref.revision or None, files_metadata=True, timeout=self._timeout_s
        )


def _file(ref: HubRef, sibling: RepoSibling) -> ArtifactFile:
    size = sibling.size
    digest = sibling.lfs.sha256 if sibling.lfs else ""
    git_blob_id = "" if digest else sibling.blob_id or ""
    if not isinstance(size, int) or size < 0 or not (_is_hex(digest, 64) or _is_hex(git_blob_id, 40)):
        raise source_unusable(
            str(ref), f"the hub gives no usable size and digest of {sibling.rfilename[:80]!r}"
        )
    return ArtifactFile(
        path=sibling.rfilename,
        size_bytes=size,
        sha256=digest,
        git_blob_id=git_blob_id,
        digest_origin=DigestOrigin.SOURCE if digest else None,
    )


def _is_hex(value: str, length: int) -> bool:
    return len(value) == length and set(value) <= set("0123456789abcdef")


def _hub_error(source: str, error: HfHubHTTPError) -> MoorageError:
    if isinstance(error, GatedRepoError):
        return PermissionDenied(
            f"source {source!r}: the repository is gated",
            reason=ErrorReason.SOURCE_DENIED,
            metadata={"source": source},
            remedy="Accept its terms on the hub, and configure the downloader with your token (hf_token).",
        )
    if isinstance(error, RevisionNotFoundError):
        return not_found(source, "the repository has no such revision")
    if isinstance(error, RepositoryNotFoundError):
        # The hub answers the same for what does not exist and for what it does not show.
        return NotFound(
            f"source {source!r} not found: the hub knows no such repository",
            reason=ErrorReason.SOURCE_NOT_FOUND,
            metadata={"source": source},
            remedy="If it is private, configure the downloader with a token that may read it (hf_token).",
        )
    response = error.response
    return status_error(response.status_code, source=source, host=response.url.host, headers=response.headers)
