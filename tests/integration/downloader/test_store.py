"""The cache on a real disk: arrivals, their readers, and what survives."""

import asyncio
import errno
import hashlib
import os

import pytest

from moorage_common.core.errors import (
    DataLoss,
    ErrorReason,
    FailedPrecondition,
    NotFound,
    OutOfRange,
    ResourceExhausted,
    Unavailable,
)
from moorage_downloader.core.artifact import Artifact, ArtifactFile
from moorage_downloader.store.contract import Wanted
from moorage_downloader.store.disk import DiskStore
from moorage_downloader.store.layout import read_json, write_json
from moorage_downloader.store.manifests import load_manifest, save_manifest, wanted_of

CONTENT = os.urandom(3_500_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
GIT_ID = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()
WANTED = Wanted(size_bytes=len(CONTENT), sha256=SHA256)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def store(root):
    with DiskStore(root) as store:
        yield store


def pieces(start=0, end=3_500_000, size=400_000):
    return [CONTENT[at : min(at + size, end)] for at in range(start, end, size)]


async def write(arrival, data):
    async with arrival.writing() as writer:
        if writer is None:
            return "nothing left to write"
        for piece in data:
            await writer.append(piece)
        return await writer.commit()


async def read(blob, offset=0):
    return b"".join([block async for block in blob.read(offset)])


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    "wanted",
    [
        WANTED,
        Wanted(size_bytes=len(CONTENT), git_blob_id=GIT_ID),
        Wanted(size_bytes=len(CONTENT), origin="x"),
    ],
    ids=["sha256", "git", "first sight"],
)
async def test_what_was_committed_is_found(store, root, wanted):
    assert await store.find(wanted) is None
    with store.arriving(wanted) as arrival:
        assert await write(arrival, pieces()) == SHA256
    blob = await store.find(wanted)
    assert (blob.sha256, blob.size_bytes, blob.available_bytes) == (SHA256, len(CONTENT), len(CONTENT))
    assert await read(blob) == CONTENT
    assert await read(blob, 3_000_000) == CONTENT[3_000_000:]
    assert await read(blob, len(CONTENT)) == b""
    assert list((root / "arriving").iterdir()) == []
    assert (await store.find(WANTED)).sha256 == SHA256


async def test_an_empty_file_is_a_blob_too(store):
    with store.arriving(Wanted(size_bytes=0, origin="empty")) as arrival:
        assert await write(arrival, []) == hashlib.sha256().hexdigest()
        assert await read(arrival) == b""


async def test_readers_follow_the_writer_from_any_offset(store):
    with store.arriving(WANTED) as arrival:
        readers = [asyncio.create_task(read(arrival, offset)) for offset in (0, 1, 1_000_000, len(CONTENT))]
        async with arrival.writing() as writer:
            for piece in pieces():
                await writer.append(piece)
                await asyncio.sleep(0.002)
            await until(lambda: arrival.available_bytes == len(CONTENT))
            late = asyncio.create_task(read(arrival, 10))
            await asyncio.sleep(0.05)
            assert not any(reader.done() for reader in [*readers, late])  # nothing is verified yet
            await writer.commit()
        assert await asyncio.gather(*readers, late) == [
            CONTENT, CONTENT[1:], CONTENT[1_000_000:], b"", CONTENT[10:],
        ]  # fmt: skip
        assert arrival.sha256 == SHA256
        assert await read(arrival, 5) == CONTENT[5:]


async def test_a_later_writer_takes_up_what_an_earlier_one_left(root):
    with DiskStore(root) as store, store.arriving(WANTED) as arrival:
        async with arrival.writing() as writer:
            await writer.begin('"etag"')
            for piece in pieces(end=1_200_000):
                await writer.append(piece)
    with DiskStore(root) as store, store.arriving(WANTED) as arrival:
        assert arrival.available_bytes == 1_200_000
        async with arrival.writing() as writer:
            assert (await writer.settle(), writer.validator) == (1_200_000, '"etag"')
            for piece in pieces(start=1_200_000):
                await writer.append(piece)
            assert await writer.commit() == SHA256


async def test_one_arrival_for_all_who_want_the_same(store):
    other_name = Wanted(size_bytes=len(CONTENT), sha256=SHA256, origin="elsewhere")
    with store.arriving(WANTED) as one, store.arriving(other_name) as two:
        assert one is two
        second = asyncio.create_task(write(two, pieces()))
        async with one.writing() as writer:
            await asyncio.sleep(0.02)
            for piece in pieces():
                await writer.append(piece)
            await writer.commit()
        assert await second == "nothing left to write"


async def test_wrong_content_goes_to_quarantine_and_its_readers_are_told(store, root):
    wrong = bytearray(CONTENT)
    wrong[1_000_000] ^= 1
    with store.arriving(WANTED) as arrival:
        reader = asyncio.create_task(read(arrival))
        async with arrival.writing() as writer:
            await writer.begin("v")
            await writer.append(bytes(wrong))
            with pytest.raises(DataLoss, match=f"should be {SHA256}") as caught:
                await writer.commit()
            assert caught.value.reason is ErrorReason.DIGEST_MISMATCH
            assert caught.value.metadata["sha256"] == hashlib.sha256(wrong).hexdigest()
            with pytest.raises(DataLoss):
                await reader
            assert await writer.settle() == arrival.available_bytes == 0
            again = asyncio.create_task(read(arrival))
            await writer.append(CONTENT)
            await writer.commit()
        assert await again == CONTENT
    (quarantined,) = (root / "quarantine").iterdir()
    assert quarantined.read_bytes() == wrong


async def test_quarantine_does_not_fill_the_disk(store, root):
    for number in range(4):
        with store.arriving(Wanted(size_bytes=1, sha256=f"{number:064}")) as arrival:
            async with arrival.writing() as writer:
                await writer.append(b"x")
                with pytest.raises(DataLoss):
                    await writer.commit()
    kept = sorted(path.name.split(".")[0][-1] for path in (root / "quarantine").iterdir())
    assert kept == ["2", "3"]


@pytest.mark.parametrize(
    "wanted",
    [Wanted(size_bytes=4, git_blob_id="0" * 40), Wanted(size_bytes=5, origin="x")],
    ids=["git", "size"],
)
async def test_every_promise_is_checked(store, wanted):
    with store.arriving(wanted) as arrival, pytest.raises(DataLoss, match="should be"):
        await write(arrival, [b"abcd"])


async def test_more_than_there_should_be_is_refused(store):
    with (
        store.arriving(Wanted(size_bytes=3, origin="x")) as arrival,
        pytest.raises(DataLoss, match="more than 3"),
    ):
        await write(arrival, [b"ab", b"cd"])


async def test_a_source_that_begins_anew(store):
    with store.arriving(WANTED) as arrival:
        async with arrival.writing() as writer:
            await writer.append(b"old" * 100)
            await until(lambda: arrival.available_bytes)
            blocks = arrival.read(0)
            assert await anext(blocks) == b"old" * 100
            await writer.restart()
            with pytest.raises(DataLoss):
                await anext(blocks)
            for piece in pieces():
                await writer.append(piece)
            assert await writer.commit() == SHA256


async def test_more_than_there_should_be_on_the_disk_is_dropped(store):
    store.layout.arriving(WANTED.key).write_bytes(CONTENT + b"x")
    with store.arriving(WANTED) as arrival:
        assert arrival.available_bytes == 0
        assert await write(arrival, pieces()) == SHA256


async def test_a_prefix_that_the_disk_altered_does_not_pass(store):
    store.layout.arriving(WANTED.key).write_bytes(b"?" * 1_000_000)
    with store.arriving(WANTED) as arrival, pytest.raises(DataLoss):
        await write(arrival, pieces(start=1_000_000))


async def test_when_nobody_holds_an_arrival_its_readers_are_told(store):
    with store.arriving(WANTED) as arrival:
        reader = asyncio.create_task(read(arrival))
        with store.arriving(WANTED):
            pass
        await asyncio.sleep(0.02)
        assert not reader.done()
    with pytest.raises(Unavailable, match="read again"):
        await reader


async def test_a_cancelled_writer_leaves_what_it_had(store, root):
    with store.arriving(WANTED) as arrival:

        async def stuck():
            async with arrival.writing() as writer:
                for piece in pieces(end=2_000_000):
                    await writer.append(piece)
                await asyncio.Event().wait()

        task = asyncio.create_task(stuck())
        await until(lambda: arrival.available_bytes == 2_000_000)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        async with arrival.writing() as writer:
            assert await writer.settle() == 2_000_000


async def test_a_full_disk_is_told_and_passes(store, monkeypatch):
    real, full = os.pwrite, True

    def pwrite(file, data, offset):
        if full and offset >= 800_000:
            real(file, data[:1000], offset)  # some of it fits
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with store.arriving(WANTED) as arrival:
        async with arrival.writing() as writer:
            with pytest.raises(ResourceExhausted) as caught:
                for piece in pieces():
                    await writer.append(piece)
            assert caught.value.reason is ErrorReason.DISK_FULL
            assert await writer.settle() == 800_000
            full = False
            for piece in pieces(start=800_000):
                await writer.append(piece)
            assert await writer.commit() == SHA256


async def test_room_is_checked_over_all_arrivals(store):
    with store.arriving(Wanted(size_bytes=1000, origin="a")):
        store.check_room()
        with (
            store.arriving(Wanted(size_bytes=1 << 60, origin="b")),
            pytest.raises(ResourceExhausted) as caught,
        ):
            store.check_room()
    assert caught.value.shortages[0].description.startswith("needed 1152921504606847976 bytes, available ")


async def test_offsets_past_the_end(store):
    with store.arriving(WANTED) as arrival:
        with pytest.raises(OutOfRange):
            await read(arrival, len(CONTENT) + 1)
        await write(arrival, pieces())
    with pytest.raises(OutOfRange):
        await read(await store.find(WANTED), len(CONTENT) + 1)


async def test_blobs_that_have_gone(store):
    with store.arriving(WANTED) as arrival:
        await write(arrival, pieces())
    blob = await store.find(WANTED)
    blob.path.unlink()
    assert await store.find(WANTED) is None
    with pytest.raises(NotFound) as caught:
        await read(blob)
    assert caught.value.reason is ErrorReason.BLOB_NOT_FOUND


def test_one_downloader_per_folder_and_the_same_name_after_a_restart(root):
    with DiskStore(root) as store:
        holder = store.holder
        with pytest.raises(FailedPrecondition, match="another downloader"), DiskStore(root):
            pass
    with DiskStore(root) as store:
        assert store.holder == holder
    root.with_name("file").write_text("")
    with (
        pytest.raises(FailedPrecondition, match="cannot use the cache folder"),
        DiskStore(root.with_name("file")),
    ):
        pass


def test_manifests_survive(store):
    files = (
        ArtifactFile(path="a/b.gguf", size_bytes=5, git_blob_id="1" * 40),
        ArtifactFile(path="c", size_bytes=6),
    )
    artifact = Artifact(source="https://h/c", revision="r", files=files, entry_point="c")
    assert load_manifest(store.layout, "a1") is None
    save_manifest(store.layout, "a1", artifact, complete=True)
    manifest = load_manifest(store.layout, "a1")
    assert manifest.complete
    assert manifest.wanted == {file.path: wanted_of(artifact, file) for file in files}
    assert len({wanted.key for wanted in manifest.wanted.values()}) == 2


def test_paths_stay_below_the_folder(store):
    for method, name in [
        (store.layout.blob, "../../etc/passwd"),
        (store.layout.arriving, "sha256-../x"),
        (store.layout.artifact, "../x"),
        (store.layout.artifact, ".."),
    ]:
        with pytest.raises(ValueError, match="not a"):
            method(name)


def test_small_files_are_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.json"
    assert read_json(path) is None
    write_json(path, {"a": 1})
    assert read_json(path) == {"a": 1}
    path.write_text('{"a"')
    assert read_json(path) is None
    path.write_text("[]")
    assert read_json(path) is None
