"""What this downloader can serve: blobs of artifacts that it has, and of those that it is pulling."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from moorage_common.core.errors import ErrorReason, Unavailable
from moorage_downloader.core.artifact import Artifact
from moorage_downloader.store.arrival import Arrival
from moorage_downloader.store.contract import ReadableBlob, Wanted
from moorage_downloader.store.disk import DiskStore
from moorage_downloader.store.manifests import load_manifest, save_manifest, wanted_of
from moorage_downloader.store.reading import blob_not_found


class Library:
    """Finds a file of an artifact among the complete blobs and the arrivals."""

    def __init__(self, store: DiskStore) -> None:
        self._store = store
        self._arriving: dict[str, Mapping[str, Arrival]] = {}

    @contextmanager
    def arriving(self, artifact_id: str, artifact: Artifact) -> Iterator[Mapping[str, Arrival]]:
        """Makes the files of an artifact readable while they arrive.

        Returns:
            The arrival of each file, by its path.
        """
        with ExitStack() as stack:
            arrivals = {
                file.path: stack.enter_context(self._store.arriving(wanted_of(artifact, file)))
                for file in artifact.files
            }
            self._arriving[artifact_id] = arrivals
            try:
                yield arrivals
            finally:
                del self._arriving[artifact_id]

    async def remember(self, artifact_id: str, artifact: Artifact, *, complete: bool) -> None:
        """Keeps an artifact's manifest, so that its files are known after a restart."""
        await asyncio.to_thread(save_manifest, self._store.layout, artifact_id, artifact, complete=complete)

    async def stored(self, wanted: Wanted) -> str:
        """The SHA-256 of the complete blob that is what is wanted; empty when there is none."""
        blob = await self._store.find(wanted)
        return blob.sha256 if blob else ""

    async def find(self, artifact_id: str, path: str) -> ReadableBlob:
        """Returns a file of an artifact.

        Raises:
            NotFound: BLOB_NOT_FOUND: it is not held here, or no longer.
            Unavailable: Its pull is not going on just now, and will be taken up again.
        """
        arrival = self._arriving.get(artifact_id, {}).get(path)
        manifest = await asyncio.to_thread(load_manifest, self._store.layout, artifact_id)
        remembered = manifest.wanted.get(path) if manifest else None
        wanted = arrival.wanted if arrival else remembered
        if wanted is None:
            raise blob_not_found(f"artifact {artifact_id!r} has no file {path[:120]!r} here")
        # Complete first: a pull that is taken up again has arrivals for files that it need not fetch.
        if blob := await self._store.find(wanted):
            return blob
        if arrival := self._arriving.get(artifact_id, {}).get(path):
            return arrival
        if manifest is not None and manifest.complete:
            raise blob_not_found(f"file {path[:120]!r} of artifact {artifact_id!r} has gone from the cache")
        raise Unavailable(
            f"the pull of artifact {artifact_id!r} has not been taken up yet",
            reason=ErrorReason.SOURCE_UNAVAILABLE,
            retry_after_s=1.0,
        )
