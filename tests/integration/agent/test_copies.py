"""Fetching artifacts: real files, and a source that misbehaves as the test says."""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from moorage_agent.core.domain import CopyAssignment, CopyStatus, FetchCopy, FileEntry
from moorage_agent.storage.artifacts import ArtifactStore
from moorage_agent.storage.blobs import BlobStore
from moorage_agent.storage.copies import CopyManager, FetchSettings
from moorage_agent.storage.layout import Layout
from moorage_agent.storage.source import BlobChunk
from moorage_common.core.backoff import BackoffPolicy
from moorage_common.core.clock import SystemClock
from moorage_common.core.errors import DataLoss, ErrorReason, MoorageError, NotFound, OutOfRange, Unavailable
from moorage_common.core.states import CopyState
from moorage_common.runtime.tasks import TaskSupervisor

CONTENT = {"model.gguf": b"w" * 10_000, "dir/config.json": b"{}", "empty": b""}
QUICK = BackoffPolicy(first_s=0.01, cap_s=0.02, floor_s=0.005)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def wanted(
    *, known: bool = True, content: dict[str, bytes] = CONTENT, artifact: str = "art", **changes: Any
) -> FetchCopy:
    files = tuple(
        FileEntry(path=path, size_bytes=len(data), sha256=sha256(data) if known else "")
        for path, data in content.items()
    )
    values = {"artifact": artifact, "files": files, "read_from": ("first:1", "second:2"), **changes}
    return FetchCopy(assignment=CopyAssignment(**values))


Fault = Callable[[bytes], AsyncIterator[bytes]]


@dataclass
class ScriptedSource:
    """Serves files; each reading takes the next fault, if there is one."""

    content: dict[str, bytes] = field(default_factory=lambda: dict(CONTENT))
    faults: list[Fault] = field(default_factory=list)
    reads: list[tuple[str, str, int]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    @asynccontextmanager
    async def read(
        self, address: str, *, artifact: str, path: str, offset: int
    ) -> AsyncIterator[AsyncIterator[BlobChunk]]:
        self.reads.append((address, path, offset))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield self._chunks(path, offset)
        finally:
            self.at_once -= 1

    async def _chunks(self, path: str, offset: int) -> AsyncIterator[BlobChunk]:
        content = self.content[path]
        send = self.faults.pop(0) if self.faults else whole
        async for data in send(content[offset:]):
            yield BlobChunk(data=data)
        yield BlobChunk(data=b"", sha256=sha256(content))


async def whole(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 1000):
        await asyncio.sleep(0)
        yield content[start : start + 1000]


def raises(error: MoorageError, *, after: int = 0) -> Fault:
    async def send(content: bytes) -> AsyncIterator[bytes]:
        if after:
            yield content[:after]
        raise error

    return send


async def flipped(content: bytes) -> AsyncIterator[bytes]:
    yield b"!" + content[1:]


async def cut(content: bytes) -> AsyncIterator[bytes]:
    yield content[:1234]
    raise Unavailable("the stream ended")


def waits(for_it: asyncio.Event, *, after: int) -> Fault:
    async def send(content: bytes) -> AsyncIterator[bytes]:
        yield content[:after]
        await for_it.wait()
        yield content[after:]

    return send


@dataclass
class CopyLab:
    layout: Layout
    source: ScriptedSource
    tasks: TaskSupervisor
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def manager(self, *, parallel_files: int = 4) -> CopyManager:
        return CopyManager(
            store=self.store(),
            source=self.source,
            settings=FetchSettings(parallel_files=parallel_files, resume=QUICK, retry=QUICK),
            tasks=self.tasks,
            clock=SystemClock(),
            random=Random(1),
            on_change=self.changed.set,
        )

    def store(self) -> ArtifactStore:
        return ArtifactStore(self.layout, BlobStore(self.layout))

    async def until(self, manager: CopyManager, met: Callable[[CopyStatus], bool]) -> CopyStatus:
        async with asyncio.timeout(20):
            while True:
                for status in manager.statuses():
                    if met(status):
                        return status
                await asyncio.sleep(0.005)

    async def until_state(self, manager: CopyManager, state: CopyState) -> CopyStatus:
        return await self.until(manager, lambda status: status.state is state)

    def content(self, artifact: str = "art") -> dict[str, bytes]:
        return {path: self.store().open_path(artifact, path).read_bytes() for path in CONTENT}


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[CopyLab]:
    layout = Layout(tmp_path / "data")
    layout.create()
    async with TaskSupervisor(random=Random(1)) as tasks:
        yield CopyLab(layout, ScriptedSource(), tasks)


@pytest.mark.parametrize("known", [True, False], ids=["digest known", "digest learned"])
async def test_an_artifact_is_fetched(lab: CopyLab, known: bool) -> None:
    manager = lab.manager()
    manager.fetch(wanted(known=known))
    assert manager.statuses()[0].state is CopyState.FETCHING
    status = await lab.until_state(manager, CopyState.READY)
    assert status.done_bytes == 10_002
    assert lab.content() == CONTENT
    assert list(lab.layout.partial.iterdir()) == []


async def test_a_broken_stream_is_read_on_where_it_broke(lab: CopyLab) -> None:
    lab.source.faults = [cut, cut, raises(Unavailable("away"))]
    manager = lab.manager()
    manager.fetch(wanted(content={"model.gguf": CONTENT["model.gguf"]}))
    await lab.until_state(manager, CopyState.READY)
    assert [(address, offset) for address, _, offset in lab.source.reads] == [
        ("first:1", 0),
        ("second:2", 1234),
        ("first:1", 2468),
        ("second:2", 2468),
    ]


async def test_trouble_shows_while_it_lasts(lab: CopyLab) -> None:
    lab.source.faults = [raises(Unavailable("away"))] * 1000
    manager = lab.manager()
    manager.fetch(wanted())
    status = await lab.until(manager, lambda status: status.error is not None)
    assert status.state is CopyState.FETCHING
    lab.source.faults = []
    assert (await lab.until_state(manager, CopyState.READY)).error is None


async def test_bytes_survive_the_agent(lab: CopyLab) -> None:
    lab.source.faults = [waits(asyncio.Event(), after=4321)]
    first = lab.manager()
    fetch = wanted(content={"model.gguf": CONTENT["model.gguf"]})
    first.fetch(fetch)
    await lab.until(first, lambda status: status.done_bytes == 4321)
    await lab.tasks.close()
    second = lab.manager()
    await second.adopt()
    assert second.statuses() == ()
    second.fetch(fetch)
    await lab.until_state(second, CopyState.READY)
    assert lab.source.reads[-1] == ("first:1", "model.gguf", 4321)


async def test_a_partial_file_that_is_whole_needs_nobody(lab: CopyLab) -> None:
    fetch = wanted(content={"model.gguf": CONTENT["model.gguf"]})
    partial = lab.store().open_partial("art", fetch.assignment.files[0])
    partial.write(CONTENT["model.gguf"])
    partial.close()
    manager = lab.manager()
    manager.fetch(fetch)
    await lab.until_state(manager, CopyState.READY)
    assert lab.source.reads == []


async def test_wrong_bytes_fail_the_copy_and_the_next_try_starts_clean(lab: CopyLab) -> None:
    lab.source.faults = [flipped]
    manager = lab.manager()
    fetch = wanted(content={"model.gguf": CONTENT["model.gguf"]})
    manager.fetch(fetch)
    failed = await lab.until_state(manager, CopyState.FAILED)
    assert failed.error is not None
    assert failed.error.reason is ErrorReason.DIGEST_MISMATCH
    assert failed.done_bytes == 0
    assert len(list(lab.layout.quarantine.iterdir())) == 1
    manager.fetch(fetch)
    await lab.until_state(manager, CopyState.READY)
    assert [offset for *_, offset in lab.source.reads] == [0, 0]


async def test_a_server_that_takes_its_bytes_back(lab: CopyLab) -> None:
    lab.source.faults = [raises(DataLoss("the source lied"), after=1000)]
    manager = lab.manager()
    fetch = wanted(content={"model.gguf": CONTENT["model.gguf"]})
    manager.fetch(fetch)
    failed = await lab.until_state(manager, CopyState.FAILED)
    assert failed.done_bytes == 0
    manager.fetch(fetch)
    await lab.until_state(manager, CopyState.READY)


async def test_more_bytes_than_the_file_has(lab: CopyLab) -> None:
    lab.source.content["model.gguf"] = b"w" * 10_001
    manager = lab.manager()
    manager.fetch(wanted())
    failed = await lab.until_state(manager, CopyState.FAILED)
    assert failed.error is not None
    assert failed.error.reason is ErrorReason.DIGEST_MISMATCH


async def test_an_offset_that_the_server_does_not_have_starts_again(lab: CopyLab) -> None:
    lab.source.faults = [cut, raises(OutOfRange("past the end"))]
    manager = lab.manager()
    manager.fetch(wanted(content={"model.gguf": CONTENT["model.gguf"]}))
    status = await lab.until_state(manager, CopyState.READY)
    assert [offset for *_, offset in lab.source.reads] == [0, 1234, 0]
    assert status.done_bytes == 10_000


async def test_a_blob_that_nobody_has_fails_after_a_few_tries(lab: CopyLab) -> None:
    gone = raises(NotFound("gone", reason=ErrorReason.BLOB_NOT_FOUND))
    lab.source.faults = [gone] * 3
    manager = lab.manager()
    manager.fetch(wanted(content={"model.gguf": CONTENT["model.gguf"]}))
    failed = await lab.until_state(manager, CopyState.FAILED)
    assert failed.error is not None
    assert failed.error.reason is ErrorReason.BLOB_NOT_FOUND


async def test_without_an_address_it_waits_for_one(lab: CopyLab) -> None:
    manager = lab.manager()
    manager.fetch(wanted(read_from=()))
    await lab.until(manager, lambda status: status.error is not None)
    assert lab.source.reads == []
    manager.fetch(wanted(read_from=("third:3",)))
    await lab.until_state(manager, CopyState.READY)
    assert {address for address, *_ in lab.source.reads} == {"third:3"}


async def test_so_many_files_at_a_time(lab: CopyLab) -> None:
    content = {f"part-{number}": bytes([number]) * 3000 for number in range(12)}
    lab.source.content = content
    manager = lab.manager(parallel_files=3)
    manager.fetch(wanted(content=content))
    await lab.until_state(manager, CopyState.READY)
    assert lab.source.most_at_once == 3


async def test_two_artifacts_that_share_a_file_fetch_it_once(lab: CopyLab) -> None:
    content = {"model.gguf": CONTENT["model.gguf"]}
    manager = lab.manager()
    manager.fetch(wanted(content=content))
    manager.fetch(wanted(content=content, artifact="other"))
    async with asyncio.timeout(20):
        while {status.state for status in manager.statuses()} != {CopyState.READY}:
            await asyncio.sleep(0.005)
    assert len(lab.source.reads) == 1


async def test_dropping_ends_the_fetch_and_its_bytes(lab: CopyLab) -> None:
    lab.source.faults = [waits(asyncio.Event(), after=100)]
    manager = lab.manager()
    fetch = wanted(content={"model.gguf": CONTENT["model.gguf"]})
    manager.fetch(fetch)
    await lab.until(manager, lambda status: status.done_bytes == 100)
    manager.drop("art")
    assert manager.statuses() == ()
    # Wanted again at once: waits until the drop is through, and starts from nothing.
    manager.fetch(fetch)
    await lab.until_state(manager, CopyState.READY)
    assert [offset for *_, offset in lab.source.reads] == [0, 0]
    assert lab.store().is_whole(fetch.assignment)


async def test_whole_artifacts_are_found_after_a_restart(lab: CopyLab) -> None:
    first = lab.manager()
    first.fetch(wanted())
    await lab.until_state(first, CopyState.READY)
    second = lab.manager()
    await second.adopt()
    [status] = second.statuses()
    assert (status.state, status.done_bytes) == (CopyState.READY, 10_002)


async def test_files_that_somebody_took_away_are_noticed(lab: CopyLab) -> None:
    manager = lab.manager()
    manager.fetch(wanted())
    await lab.until_state(manager, CopyState.READY)
    await manager.recheck()
    assert len(manager.statuses()) == 1
    shutil.rmtree(lab.layout.artifact("art"))
    await manager.recheck()
    assert manager.statuses() == ()


async def test_paths_that_leave_the_storage_are_refused(lab: CopyLab) -> None:
    manager = lab.manager()
    manager.fetch(wanted(files=(FileEntry(path="../../escape", size_bytes=1),)))
    failed = await lab.until_state(manager, CopyState.FAILED)
    assert failed.error is not None
    assert failed.error.reason is ErrorReason.INVALID_REQUEST
    assert lab.source.reads == []


async def test_what_does_not_fit_the_disk_fails_before_its_first_byte(lab: CopyLab) -> None:
    manager = lab.manager()
    manager.fetch(wanted())
    await lab.until_state(manager, CopyState.READY)
    reads = len(lab.source.reads)
    huge = wanted(artifact="huge", files=(FileEntry(path="m", size_bytes=2**60, sha256="1" * 64),))
    manager.fetch(replace(huge, evictable=("art",)))
    failed = await lab.until_state(manager, CopyState.FAILED)
    assert failed.error is not None
    assert failed.error.reason is ErrorReason.DISK_FULL
    assert len(lab.source.reads) == reads


async def test_a_disk_that_fails_is_a_failed_copy(lab: CopyLab) -> None:
    shutil.rmtree(lab.layout.partial)
    manager = lab.manager()
    manager.fetch(wanted())
    failed = await lab.until_state(manager, CopyState.FAILED)
    assert failed.error is not None
    assert failed.error.reason is ErrorReason.INTERNAL
    assert str(lab.layout.root) not in failed.error.message
