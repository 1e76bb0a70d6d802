"""The artifacts of a node: fetches and drops them, and knows where each stands.

It decides nothing: `core.reconcile` says what to fetch, and when; this does it, and calls back
whenever something has changed. Bytes that arrive are no such change: they only move the figures.
"""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from random import Random

from moorage_agent.core.domain import CopyAssignment, CopyStatus, FetchCopy, FileEntry
from moorage_agent.core.fault import Fault
from moorage_agent.core.measure import StorageFigures
from moorage_agent.core.rate import RateMeter
from moorage_agent.storage.artifacts import ArtifactStore, StoredArtifact, partial_key
from moorage_agent.storage.fetch import FileFetch, Progress
from moorage_agent.storage.source import BlobSource
from moorage_common.core.backoff import Backoff, BackoffPolicy
from moorage_common.core.clock import Clock
from moorage_common.core.errors import Internal, MoorageError
from moorage_common.core.states import CopyState
from moorage_common.runtime.logs import get_logger
from moorage_common.runtime.tasks import SupervisedTask, TaskSupervisor

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchSettings:
    """How artifacts are fetched."""

    parallel_files: int = 4
    """Files that arrive at the same time, over all artifacts."""
    resume: BackoffPolicy = field(default_factory=lambda: BackoffPolicy(first_s=0.5, cap_s=10.0))
    """Between two tries to read on."""
    retry: BackoffPolicy = field(default_factory=lambda: BackoffPolicy(first_s=2.0, cap_s=60.0, floor_s=0.5))
    """Between two tries of a copy that failed."""


class _Addresses:
    """Where an artifact can be read: changes with its assignment."""

    def __init__(self, current: tuple[str, ...]) -> None:
        self.current = current
        self._event = asyncio.Event()

    def set(self, addresses: tuple[str, ...]) -> None:
        if addresses != self.current:
            self.current = addresses
            event, self._event = self._event, asyncio.Event()
            event.set()

    async def changed(self) -> None:
        await self._event.wait()


@dataclass(slots=True, kw_only=True)
class _Entry:
    status: CopyStatus
    addresses: _Addresses
    meter: RateMeter = field(default_factory=RateMeter)
    failures: int = 0
    run: SupervisedTask | None = None


class CopyManager:
    """The artifacts of a node."""

    def __init__(
        self,
        *,
        store: ArtifactStore,
        source: BlobSource,
        settings: FetchSettings,
        tasks: TaskSupervisor,
        clock: Clock,
        random: Random,
        on_change: Callable[[], None],
    ) -> None:
        self._store = store
        self._source = source
        self._settings = settings
        self._tasks = tasks
        self._clock = clock
        self._random = random
        self._on_change = on_change
        self._entries: dict[str, _Entry] = {}
        self._slots = asyncio.Semaphore(settings.parallel_files)
        self._artifact_locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._file_locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._drops: dict[str, SupervisedTask] = {}
        self._runs = itertools.count(1)

    def statuses(self) -> tuple[CopyStatus, ...]:
        """Returns where every copy stands."""
        now = self._clock.monotonic()
        return tuple(
            replace(entry.status, bytes_per_second=entry.meter.per_second(now=now))
            for entry in self._entries.values()
        )

    async def adopt(self) -> None:
        """Finds the artifacts that are whole on disk. Called once, before anything else."""
        for copy in await asyncio.to_thread(self._store.recover):
            self._entries[copy.artifact] = _whole(copy)

    async def recheck(self) -> None:
        """Looks whether the files of whole copies are still there; one that is not is no copy any more."""
        for artifact, entry in list(self._entries.items()):
            if entry.status.state is CopyState.READY and not await asyncio.to_thread(
                self._store.is_whole, entry.status.assignment
            ):
                log.warning("files of an artifact are gone", artifact=artifact)
                self._entries.pop(artifact, None)
                self._on_change()

    def fetch(self, action: FetchCopy) -> None:
        """Fetches what is missing of an artifact; a fetch that is on its way gets the new addresses."""
        assignment = action.assignment
        before = self._entries.get(assignment.artifact)
        if before is not None and before.status.state in {CopyState.FETCHING, CopyState.VERIFYING}:
            before.status = replace(before.status, assignment=assignment)
            before.addresses.set(assignment.read_from)
            return
        entry = _Entry(
            status=CopyStatus(assignment=assignment, state=CopyState.FETCHING),
            addresses=_Addresses(assignment.read_from),
        )
        if before is not None and before.status.assignment == assignment:
            entry.failures = before.failures
        self._entries[assignment.artifact] = entry
        name = f"fetch {assignment.artifact} {next(self._runs)}"
        entry.run = self._tasks.start(name, lambda: self._fetch(entry, action), restart=False)
        self._on_change()

    def drop(self, artifact: str) -> None:
        """Stops fetching an artifact, and drops what is there of it."""
        entry = self._entries.pop(artifact)
        name = f"drop {artifact} {next(self._runs)}"
        self._drops[artifact] = self._tasks.start(name, lambda: self._drop(artifact, entry), restart=False)
        self._on_change()

    async def sweep(self, wanted: Iterable[CopyAssignment]) -> None:
        """Drops what is on disk of artifacts that are neither whole nor wanted, from before a restart."""
        kept = [*wanted, *(entry.status.assignment for entry in self._entries.values())]
        await asyncio.to_thread(self._store.sweep, kept)

    async def figures(self) -> StorageFigures:
        """Measures room for artifacts now."""
        return await asyncio.to_thread(self._store.figures)

    async def stored(self) -> list[StoredArtifact]:
        """Returns every artifact that takes room."""
        return await asyncio.to_thread(self._store.stored)

    async def _drop(self, artifact: str, entry: _Entry) -> None:
        if entry.run is not None:
            await entry.run.stop()
        async with self._artifact_locks[artifact]:
            await asyncio.to_thread(self._store.drop, artifact)
            for file in entry.status.assignment.files:
                async with self._file_locks[partial_key(artifact, file)]:
                    await asyncio.to_thread(self._store.discard_partial, artifact, file)
        log.info("artifact dropped", artifact=artifact)

    async def _fetch(self, entry: _Entry, action: FetchCopy) -> None:
        assignment = action.assignment
        # What was dropped a moment ago has to be gone first.
        dropping = self._drops.pop(assignment.artifact, None)
        if dropping is not None:
            await dropping.wait()
        async with self._artifact_locks[assignment.artifact]:
            try:
                await self._make_room(action)
                await self._fetch_files(entry)
                await asyncio.to_thread(self._store.finish, assignment)
            except MoorageError as error:
                self._failed(entry, error)
            except Exception as error:
                log.exception("fetch broke", artifact=assignment.artifact)
                self._failed(entry, _broken(error))
            else:
                log.info("artifact ready", artifact=assignment.artifact, size_bytes=assignment.size_bytes)
                entry.status = _whole(entry.status.assignment).status
        self._on_change()

    async def _make_room(self, action: FetchCopy) -> None:
        self._store.check(action.assignment)
        evicted = await asyncio.to_thread(
            self._store.make_room, action.assignment, evictable=action.evictable
        )
        for artifact in evicted:
            log.info("artifact evicted: its room is needed", artifact=artifact)
            self._entries.pop(artifact, None)

    async def _fetch_files(self, entry: _Entry) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for file in entry.status.assignment.files:
                    group.create_task(self._fetch_file(entry, file))
        except ExceptionGroup as errors:
            # The first to fail; it cancelled the others, whose bytes stay for the next try.
            raise errors.exceptions[0] from errors

    async def _fetch_file(self, entry: _Entry, file: FileEntry) -> None:
        artifact = entry.status.assignment.artifact
        fetch = FileFetch(
            store=self._store,
            source=self._source,
            artifact=artifact,
            file=file,
            addresses=entry.addresses,
            progress=Progress(
                on_bytes=lambda count: self._progressed(entry, count),
                on_trouble=lambda error: self._troubled(entry, error),
            ),
            backoff=Backoff(self._settings.resume, self._random),
        )
        # The lock first: two artifacts that share a file must not take two slots for it.
        async with self._file_locks[partial_key(artifact, file)], self._slots:
            await fetch.run()

    def _progressed(self, entry: _Entry, count: int) -> None:
        status = entry.status
        done = status.done_bytes + count
        if count > 0:
            entry.meter.add(count, now=self._clock.monotonic())
        state = CopyState.VERIFYING if done >= status.assignment.size_bytes else CopyState.FETCHING
        entry.status = replace(status, done_bytes=done, state=state)

    def _troubled(self, entry: _Entry, error: MoorageError | None) -> None:
        entry.status = replace(entry.status, error=None if error is None else Fault.of(error))
        self._on_change()

    def _failed(self, entry: _Entry, error: MoorageError) -> None:
        entry.failures += 1
        delay_s = self._settings.retry.delay_s(entry.failures, self._random)
        entry.status = replace(
            entry.status,
            state=CopyState.FAILED,
            error=Fault.of(error),
            retry_at=self._clock.monotonic() + delay_s,
        )
        artifact = entry.status.assignment.artifact
        log.warning("fetch failed", artifact=artifact, error=error.message, retry_in_s=round(delay_s, 1))


def _whole(copy: CopyAssignment) -> _Entry:
    status = CopyStatus(assignment=copy, state=CopyState.READY, done_bytes=copy.size_bytes)
    return _Entry(status=status, addresses=_Addresses(copy.read_from))


def _broken(error: Exception) -> Internal:
    why = error.strerror if isinstance(error, OSError) else None
    return Internal(f"the worker cannot store the artifact: {why or type(error).__name__}")
