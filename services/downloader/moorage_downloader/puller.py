"""Pulls the files of one artifact from its source into the store, through whatever fails on the way."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from random import Random

from moorage_common.core.backoff import Backoff, BackoffPolicy
from moorage_common.core.clock import Clock
from moorage_common.core.errors import DataLoss, MoorageError
from moorage_common.runtime.logs import get_logger
from moorage_downloader.core.artifact import Artifact, ArtifactFile, DigestOrigin
from moorage_downloader.core.pull_meter import PullMeter
from moorage_downloader.core.pull_state import FilePull, FileState, is_transient
from moorage_downloader.library import Library
from moorage_downloader.sources.catalog import SourceCatalog
from moorage_downloader.store.arrival import Arrival, ArrivalWriter
from moorage_downloader.store.disk import DiskStore
from moorage_downloader.store.manifests import wanted_of

log = get_logger(__name__)

_WRITE_BYTES = 1 << 20
"""How much is gathered before it is written: small writes cost a thread's switch each."""
_WRITE_AFTER_S = 0.2
"""How long a slow source's bytes are gathered, lest progress comes in jumps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullLimits:
    """How hard sources are pressed."""

    files_at_once: int = 4
    """Transfers at the same time, over all artifacts."""
    backoff: BackoffPolicy = field(default_factory=lambda: BackoffPolicy(first_s=0.5, cap_s=30.0))
    """Between tries of one file."""


class Puller:
    """Pulls artifacts.

    Args:
        store: Where blobs go.
        library: Told of what is arriving, so that it can be read meanwhile.
        sources: Where bytes come from.
        clock: For rates.
        random: For the back-off's jitter.
        limits: How hard sources are pressed.
    """

    def __init__(
        self,
        *,
        store: DiskStore,
        library: Library,
        sources: SourceCatalog,
        clock: Clock,
        random: Random,
        limits: PullLimits,
    ) -> None:
        self._store = store
        self._library = library
        self._sources = sources
        self._clock = clock
        self._random = random
        self._backoff = limits.backoff
        self._transfers = asyncio.Semaphore(limits.files_at_once)

    def meter(self, artifact: Artifact) -> PullMeter:
        """A meter for one pull of an artifact."""
        return PullMeter(artifact.size_bytes, self._clock.monotonic)

    async def pull(self, artifact_id: str, artifact: Artifact, meter: PullMeter) -> tuple[ArtifactFile, ...]:
        """Pulls an artifact until it is whole and verified.

        What may pass is tried again, for ever: being cancelled is the way to stop. What was there before, whole
        or in part, is not fetched again.

        Returns:
            The files, each with its SHA-256 and where that comes from.

        Raises:
            MoorageError: Trying again will not help.
        """
        with self._library.arriving(artifact_id, artifact) as arrivals:
            await self._library.remember(artifact_id, artifact, complete=False)
            missing = await self._look_up(artifact, arrivals, meter)
            if missing:
                await self._prepare(artifact, meter)
                await self._fetch_all(artifact, missing, arrivals, meter)
            pulled = tuple([await self._pulled(artifact, file) for file in artifact.files])
            await self._library.remember(artifact_id, artifact, complete=True)
            return pulled

    async def _look_up(
        self, artifact: Artifact, arrivals: Mapping[str, Arrival], meter: PullMeter
    ) -> list[ArtifactFile]:
        """Tells the meter what is there already, and returns the files that are not whole."""
        missing = []
        for file in artifact.files:
            if await self._library.stored(wanted_of(artifact, file)):
                meter.at(file.path, file.size_bytes)
            else:
                meter.at(file.path, arrivals[file.path].available_bytes)
                missing.append(file)
        return missing

    async def _prepare(self, artifact: Artifact, meter: PullMeter) -> None:
        """Makes sure that the source is still what was resolved, and that there is room."""
        backoff = Backoff(self._backoff, self._random)
        while True:
            try:
                await self._sources.confirm(artifact)
                self._store.check_room()
            except MoorageError as error:
                if not is_transient(error):
                    raise
                meter.error = error
                await self._pause(backoff, error, artifact.source)
            else:
                return

    async def _fetch_all(
        self,
        artifact: Artifact,
        files: list[ArtifactFile],
        arrivals: Mapping[str, Arrival],
        meter: PullMeter,
    ) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for file in files:
                    group.create_task(self._fetch(artifact, file, arrivals[file.path], meter))
        except* MoorageError as errors:
            first = errors.exceptions[0]
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            failure = first
        else:
            return
        # Raised outside of the handler, which would wrap it into a group again.
        for file in files:
            arrivals[file.path].give_up(failure)
        raise failure

    async def _fetch(
        self, artifact: Artifact, file: ArtifactFile, arrival: Arrival, meter: PullMeter
    ) -> None:
        """Brings one file home, with as many tries as it takes."""
        pull, backoff = FilePull(), Backoff(self._backoff, self._random)
        async with arrival.writing() as writer:
            while writer is not None and pull.state is not FileState.DONE:
                pull.to(FileState.FETCHING)
                before = arrival.available_bytes
                try:
                    async with self._transfers:
                        await self._transfer(artifact, file, writer, meter)
                    pull.to(FileState.VERIFYING)
                    await writer.commit()
                    pull.to(FileState.DONE)
                except MoorageError as error:
                    failure = _about(file, error)
                    if pull.failed(failure) is FileState.FAILED:
                        raise failure from error
                    if arrival.available_bytes > before:
                        backoff.reset()
                    meter.error = failure
                    await self._pause(backoff, failure, artifact.source)
        meter.at(file.path, file.size_bytes)
        meter.error = None

    async def _transfer(
        self, artifact: Artifact, file: ArtifactFile, writer: ArrivalWriter, meter: PullMeter
    ) -> None:
        offset = await writer.settle()
        meter.at(file.path, offset)
        if offset == file.size_bytes:
            return
        async with self._sources.open(artifact, file, offset=offset, validator=writer.validator) as opened:
            if opened.offset != offset:
                await writer.restart()
                meter.at(file.path, 0)
            await writer.begin(opened.validator)
            async with aclosing(self._gathered(opened.chunks)) as blocks:
                async for block in blocks:
                    await writer.append(block)
                    meter.received(file.path, len(block))

    async def _gathered(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Puts small pieces together; also what came before the source broke off."""
        gathered, size, since = list[bytes](), 0, self._clock.monotonic()
        try:
            async for chunk in chunks:
                gathered.append(chunk)
                size += len(chunk)
                if size >= _WRITE_BYTES or self._clock.monotonic() - since >= _WRITE_AFTER_S:
                    yield b"".join(gathered)
                    gathered, size, since = [], 0, self._clock.monotonic()
        except MoorageError:
            if gathered:
                yield b"".join(gathered)
            raise
        if gathered:
            yield b"".join(gathered)

    async def _pause(self, backoff: Backoff, error: MoorageError, source: str) -> None:
        delay = max(backoff.next_delay_s(), error.retry_after_s or 0.0)
        log.warning("pull goes on after a pause", source=source, error=error.message, delay_s=round(delay, 2))
        await asyncio.sleep(delay)

    async def _pulled(self, artifact: Artifact, file: ArtifactFile) -> ArtifactFile:
        sha256 = await self._library.stored(wanted_of(artifact, file))
        if not sha256:
            raise DataLoss(f"{file.path} vanished from the cache as soon as it was whole")
        return replace(file, sha256=sha256, digest_origin=_digest_origin(file))


def _digest_origin(file: ArtifactFile) -> DigestOrigin:
    if file.sha256:
        return file.digest_origin or DigestOrigin.SOURCE
    return DigestOrigin.GIT_BLOB if file.git_blob_id else DigestOrigin.FIRST_SIGHT


def _about(file: ArtifactFile, error: MoorageError) -> MoorageError:
    """The same error, telling which file it is about."""
    if file.path in error.message:
        return error
    return type(error)(
        f"{file.path}: {error.message}",
        reason=error.reason,
        metadata={**error.metadata, "file": file.path},
        remedy=error.remedy,
        retry_after_s=error.retry_after_s,
        resource=error.resource,
        violations=error.violations,
        shortages=error.shortages,
    )
