"""Pulls from a real hub that fails in every way it can."""

import asyncio
import hashlib
import os
import tracemalloc
from contextlib import suppress
from dataclasses import replace

import pytest

from moorage_common.core.errors import DataLoss, ErrorReason, FailedPrecondition, NotFound, Unavailable
from moorage_downloader.core.artifact import DigestOrigin
from moorage_downloader.store.disk import DiskStore

CONTENT = os.urandom(5_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def store(cache):
    with DiskStore(cache) as store:
        yield store


@pytest.fixture
async def artifact(add_file, sources):
    add_file("m.gguf", CONTENT)
    return await sources.resolve("hf:org/model")


@pytest.fixture
def pull(new_puller, store):
    puller, _ = new_puller(store)

    async def pull(artifact, meter=None):
        return await puller.pull(artifact.id, artifact, meter or puller.meter(artifact))

    return pull


async def read(library, artifact, path="m.gguf", offset=0):
    blob = await library.find(artifact.id, path)
    return b"".join([block async for block in blob.read(offset)])


async def test_a_pull_leaves_a_verified_blob(hub, pull, artifact, store, new_puller):
    (file,) = await pull(artifact)
    assert (file.sha256, file.digest_origin) == (SHA256, DigestOrigin.SOURCE)
    assert hub.seen.body_bytes == len(CONTENT)
    assert await read(new_puller(store)[1], artifact) == CONTENT


async def test_what_is_there_is_not_fetched_again(hub, pull, artifact, add_file, sources):
    await pull(artifact)
    hub.seen.requests.clear()
    assert await pull(artifact) == (replace(artifact.files[0], sha256=SHA256),)
    assert hub.seen.requests == []
    add_file("renamed.gguf", CONTENT, repo="org/copy")
    assert (await pull(await sources.resolve("hf:org/copy")))[0].sha256 == SHA256
    assert hub.seen.body_bytes == len(CONTENT)


@pytest.mark.parametrize(
    "faults",
    [
        {"cuts": 3, "cut_after_bytes": 1_300_000},
        {"failures": 3},
        {"failures": 2, "failure_status": 429},
        {"wrong_ranges": 1, "cuts": 1, "cut_after_bytes": 2_000_000},
        {"ignored_ranges": 1, "cuts": 1, "cut_after_bytes": 2_000_000},
        {"flips": 1, "flip_offset": 3_000_000},
        {"flips": 2, "flip_offset": 10},
    ],
    ids=" ".join,
)
async def test_what_may_pass_is_tried_again(hub, pull, artifact, faults):
    for name, value in faults.items():
        setattr(hub.faults, name, value)
    assert (await pull(artifact))[0].sha256 == SHA256


async def test_a_broken_transfer_is_resumed_where_it_broke(hub, pull, artifact):
    hub.faults.cuts, hub.faults.cut_after_bytes = 3, 1_300_000
    await pull(artifact)
    starts = [
        int(seen.range.removeprefix("bytes=").split("-")[0] or 0) for seen in hub.seen.requests if seen.range
    ]
    assert len({start for start in starts if start}) == 3
    # What the hub has sent and the downloader has not kept is what was on the wire.
    assert hub.seen.body_bytes - len(CONTENT) < 3 * (4 << 20)


async def test_content_that_stays_wrong_is_given_up_with_its_digests(hub, pull, artifact, cache):
    hub.faults.flips, hub.faults.flip_offset = 100, 1000
    with pytest.raises(DataLoss, match=f"m.gguf: .* should be {SHA256}") as caught:
        await pull(artifact)
    assert caught.value.reason is ErrorReason.DIGEST_MISMATCH
    assert caught.value.metadata["file"] == "m.gguf"
    assert not list((cache / "blobs").rglob("*/*"))
    assert len(list((cache / "quarantine").iterdir())) == 2


async def test_what_will_not_pass_is_told_at_once(hub, pull, artifact, add_file, sources, tmp_path):
    hub.faults.withheld_bytes = 5
    with pytest.raises(FailedPrecondition, match=r"m\.gguf") as caught:
        await pull(artifact)
    assert caught.value.reason is ErrorReason.SOURCE_CHANGED
    add_file("m.gguf", CONTENT[::-1])
    with pytest.raises(NotFound):
        await pull(artifact)
    path = tmp_path / "m.gguf"
    path.write_bytes(CONTENT)
    local = await sources.resolve(f"file:{path}")
    path.write_bytes(CONTENT[::-1])
    with pytest.raises(FailedPrecondition, match="its revision is"):
        await pull(local)


async def test_one_file_that_fails_stops_the_others(hub, pull, add_file, sources, store, new_puller):
    for number in (1, 2, 3):
        add_file(f"m-0000{number}-of-00003.gguf", CONTENT)
    artifact = await sources.resolve("hf:org/model")
    add_file("m-00003-of-00003.gguf", b"other")
    with pytest.raises(NotFound):
        await pull(artifact)
    with pytest.raises(Unavailable, match="not been taken up"):
        await new_puller(store)[1].find(artifact.id, "m-00001-of-00003.gguf")


async def test_first_sight_and_git_digests_are_recorded(hub, pull, add_file, sources, monkeypatch):
    add_file("m.gguf", CONTENT)
    (seen,) = await pull(await sources.resolve(f"{hub.url}/org/model/resolve/main/m.gguf"))
    assert (seen.sha256, seen.digest_origin) == (SHA256, DigestOrigin.FIRST_SIGHT)
    monkeypatch.setattr("moorage_cli.quickstart.hub_repos._LFS_SUFFIXES", frozenset())
    (git,) = await pull(await sources.resolve("hf:org/model"))
    assert (git.sha256, git.digest_origin) == (SHA256, DigestOrigin.GIT_BLOB)


async def test_an_interrupted_web_pull_of_a_file_that_changed_begins_anew(
    hub, add_file, sources, new_puller, store
):
    add_file("m.gguf", CONTENT)
    puller, _ = new_puller(store)
    source = f"{hub.url}/org/model/resolve/main/m.gguf"
    artifact = await sources.resolve(source)
    hub.faults.cuts, hub.faults.cut_after_bytes = 1, 2_000_000
    pulling = asyncio.create_task(puller.pull(artifact.id, artifact, meter := puller.meter(artifact)))
    while not meter.error and not pulling.done():
        await asyncio.sleep(0.001)
    hub.faults.etag_salt = "replaced behind our back"
    (file,) = await pulling
    assert file.sha256 == SHA256
    assert hub.seen.bytes_by_file["m.gguf"] >= len(CONTENT) + 2_000_000


async def test_readers_follow_a_pull_from_its_start(hub, artifact, new_puller, store):
    puller, library = new_puller(store)
    hub.faults.rate_bytes_per_s = 20e6
    hub.faults.cuts, hub.faults.cut_after_bytes = 1, 1_500_000
    pulling = asyncio.create_task(puller.pull(artifact.id, artifact, puller.meter(artifact)))
    await asyncio.sleep(0)  # it has begun
    readers = [asyncio.create_task(read(library, artifact, offset=offset)) for offset in (0, 4_999_999, 0, 1)]
    assert [len(content) for content in await asyncio.gather(*readers)] == [
        5_000_000,
        1,
        5_000_000,
        4_999_999,
    ]
    await pulling
    assert hub.seen.body_bytes - len(CONTENT) < 4 << 20


async def test_progress_is_told_while_it_happens(hub, artifact, new_puller, store):
    puller, _ = new_puller(store)
    hub.faults.rate_bytes_per_s = 10e6
    hub.faults.cuts, hub.faults.cut_after_bytes = 1, 3_000_000
    meter = puller.meter(artifact)
    pulling = asyncio.create_task(puller.pull(artifact.id, artifact, meter))
    seen, errors = [], set()
    while not pulling.done():
        seen.append(meter.progress())
        errors |= {meter.error.message} if meter.error else set()
        await asyncio.sleep(0.005)
    done = [progress.done_bytes for progress in seen]
    assert done == sorted(done)
    assert len(set(done)) > 3
    assert any(progress.bytes_per_second for progress in seen)
    assert any("broke off" in error for error in errors)
    assert meter.error is None
    assert meter.progress().done_bytes == len(CONTENT)


def bytes_in(folder):
    """Size of the files in a folder, some of which may go while they are counted."""
    size = 0
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            size += path.stat().st_size
    return size


async def test_a_cancelled_pull_is_taken_up_from_the_disk(hub, artifact, new_puller, store, cache):
    puller, library = new_puller(store)
    hub.faults.stalls, hub.faults.stall_after_bytes = 1, 3_000_000
    pulling = asyncio.create_task(puller.pull(artifact.id, artifact, puller.meter(artifact)))
    while not pulling.done() and bytes_in(cache / "arriving") < 2_000_000:
        await asyncio.sleep(0.005)
    reader = asyncio.create_task(read(library, artifact))
    await asyncio.sleep(0.01)
    pulling.cancel()
    with pytest.raises(Unavailable):
        await reader
    with pytest.raises(Unavailable, match="not been taken up"):
        await read(library, artifact)
    hub.seen.body_bytes = 0
    await puller.pull(artifact.id, artifact, puller.meter(artifact))
    assert hub.seen.body_bytes <= len(CONTENT) - 2_000_000
    assert await read(library, artifact, offset=100) == CONTENT[100:]


async def test_blobs_that_vanished_are_told_apart_from_pulls_that_wait(
    pull, artifact, new_puller, store, cache
):
    library = new_puller(store)[1]
    with pytest.raises(NotFound, match="blob not found"):
        await read(library, artifact)
    await pull(artifact)
    with pytest.raises(NotFound):
        await read(library, artifact, path="other.gguf")
    (blob,) = (cache / "blobs").glob("*/*")
    blob.unlink()
    with pytest.raises(NotFound, match="gone from the cache"):
        await read(library, artifact)
    assert (await pull(artifact))[0].sha256 == SHA256
    assert await read(library, artifact) == CONTENT


async def test_two_artifacts_that_share_a_file_cost_one_transfer(hub, add_file, sources, new_puller, store):
    add_file("m.gguf", CONTENT)
    add_file("n.gguf", CONTENT, repo="org/other")
    artifacts = [await sources.resolve(source) for source in ("hf:org/model", "hf:org/other")]
    puller, _ = new_puller(store)
    pulled = await asyncio.gather(*[puller.pull(a.id, a, puller.meter(a)) for a in artifacts])
    assert {file.sha256 for files in pulled for file in files} == {SHA256}
    assert hub.seen.body_bytes == len(CONTENT)


async def test_memory_does_not_grow_with_the_file(add_file, sources, new_puller, store):
    add_file("m.gguf", os.urandom(1 << 20) * 64)
    artifact = await sources.resolve("hf:org/model")
    puller, _ = new_puller(store)
    tracemalloc.start()
    try:
        await puller.pull(artifact.id, artifact, puller.meter(artifact))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 24 << 20
