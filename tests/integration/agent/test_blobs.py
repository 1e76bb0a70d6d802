"""Content-addressed bytes on a real disk."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from moorage_agent.core.domain import CopyAssignment, FileEntry
from moorage_agent.files import disk_full_is_clear, read_json, write_json
from moorage_agent.storage.artifacts import ArtifactStore
from moorage_agent.storage.blobs import BlobStore, PartialBlob
from moorage_agent.storage.layout import Layout
from moorage_agent.storage.node import NodeLock, load_node_id
from moorage_common.core.errors import (
    DataLoss,
    ErrorReason,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
)

CONTENT = b"weights" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
FILE = FileEntry(path="dir/model.gguf", size_bytes=len(CONTENT), sha256=DIGEST)
COPY = CopyAssignment(artifact="art", files=(FILE,))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "data")
    layout.create()
    return layout


@pytest.fixture
def store(layout: Layout) -> ArtifactStore:
    return ArtifactStore(layout, BlobStore(layout))


def put(store: ArtifactStore, copy: CopyAssignment = COPY, content: bytes = CONTENT) -> None:
    for file in copy.files:
        if not store.has_file(copy.artifact, file):
            partial = store.open_partial(copy.artifact, file)
            partial.write(content[partial.offset :])
            store.add_file(copy.artifact, file, partial, sha256=file.sha256)
    store.finish(copy)


def files_under(path: Path) -> list[Path]:
    return [found for found in path.rglob("*") if found.is_file()]


def test_a_file_is_plain_under_its_path_and_read_only(store: ArtifactStore) -> None:
    put(store)
    path = store.open_path("art", "dir/model.gguf")
    assert path.read_bytes() == CONTENT
    assert path.parts[-2:] == ("dir", "model.gguf")
    assert path.stat().st_mode & 0o222 == 0


def test_nothing_is_visible_before_it_is_verified(store: ArtifactStore, layout: Layout) -> None:
    partial = store.open_partial("art", FILE)
    partial.write(CONTENT)
    assert files_under(layout.blobs) == files_under(layout.artifacts) == []
    partial.close()
    with pytest.raises(FailedPrecondition):
        store.open_path("art", "dir/model.gguf")


def test_an_artifact_is_whole_with_its_last_file(store: ArtifactStore) -> None:
    partial = store.open_partial("art", FILE)
    partial.write(CONTENT)
    store.add_file("art", FILE, partial, sha256=DIGEST)
    with pytest.raises(FailedPrecondition) as caught:
        store.open_path("art", "dir/model.gguf")
    assert caught.value.reason is ErrorReason.ARTIFACT_NOT_READY
    store.finish(COPY)
    assert store.open_path("art", "dir/model.gguf")


def test_bytes_that_arrived_are_found_again(store: ArtifactStore) -> None:
    first = store.open_partial("art", FILE)
    first.write(CONTENT[:3000])
    # Not closed: as after a kill.
    second = store.open_partial("art", FILE)
    assert second.offset == 3000
    second.write(CONTENT[3000:])
    assert second.sha256 == DIGEST
    first.close()
    second.close()


def test_wrong_bytes_go_to_quarantine(store: ArtifactStore, layout: Layout) -> None:
    for number in range(5):
        partial = store.open_partial("art", FILE)
        assert partial.offset == 0
        partial.write(b"%d" % number + CONTENT[1:])
        with pytest.raises(DataLoss) as caught:
            store.add_file("art", FILE, partial, sha256=DIGEST)
        assert caught.value.reason is ErrorReason.DIGEST_MISMATCH
        assert caught.value.metadata["expected_sha256"] == DIGEST
    assert files_under(layout.artifacts) == files_under(layout.blobs) == []
    assert sorted(path.read_bytes()[:1] for path in files_under(layout.quarantine)) == [b"3", b"4"]


def test_too_few_bytes_are_wrong_bytes(store: ArtifactStore) -> None:
    partial = store.open_partial("art", FILE)
    partial.write(CONTENT[:-1])
    with pytest.raises(DataLoss):
        store.add_file("art", FILE, partial, sha256=partial.sha256)


def test_too_many_bytes_are_refused(store: ArtifactStore) -> None:
    partial = store.open_partial("art", FILE)
    with pytest.raises(DataLoss):
        partial.write(CONTENT + b"!")
    partial.close()


def test_a_partial_file_longer_than_the_file_starts_again(store: ArtifactStore, layout: Layout) -> None:
    (layout.partial / DIGEST).write_bytes(CONTENT + b"more")
    partial = store.open_partial("art", FILE)
    assert partial.offset == 0
    partial.close()


def test_a_shared_file_is_stored_once(store: ArtifactStore, layout: Layout) -> None:
    put(store)
    other = CopyAssignment(
        artifact="other", files=(FileEntry(path="x.gguf", size_bytes=len(CONTENT), sha256=DIGEST),)
    )
    assert store.has_file("other", other.files[0])
    put(store, other)
    assert store.open_path("art", "dir/model.gguf").samefile(store.open_path("other", "x.gguf"))
    assert store.figures().artifact_bytes == len(CONTENT)
    store.drop("art")
    assert store.open_path("other", "x.gguf").read_bytes() == CONTENT
    store.drop("other")
    assert files_under(layout.blobs) == files_under(layout.artifacts) == []


def test_a_file_whose_digest_nobody_knows_yet(store: ArtifactStore) -> None:
    unknown = FileEntry(path="dir/model.gguf", size_bytes=len(CONTENT))
    partial = store.open_partial("art", unknown)
    partial.write(CONTENT)
    store.add_file("art", unknown, partial, sha256=DIGEST)
    assert store.has_file("art", unknown)
    assert not store.has_file("other", unknown)


def test_what_is_whole_is_found_after_a_restart(store: ArtifactStore, layout: Layout) -> None:
    put(store)
    half = CopyAssignment(artifact="half", files=(FILE, FileEntry(path="b", size_bytes=5, sha256="0" * 64)))
    assert store.has_file("half", half.files[0])
    (layout.artifact("art") / "copy.json.tmp").write_text("{")
    again = ArtifactStore(layout, BlobStore(layout))
    assert [copy.artifact for copy in again.recover()] == ["art"]
    assert again.has_file("half", half.files[0])
    assert {item.artifact: item.ready for item in again.stored()} == {"art": True, "half": False}


@pytest.mark.parametrize("damage", ["gone", "cut", "record"])
def test_a_damaged_artifact_is_not_whole_after_a_restart(
    store: ArtifactStore, layout: Layout, damage: str
) -> None:
    put(store)
    path = store.open_path("art", "dir/model.gguf")
    match damage:
        case "gone":
            path.unlink()
        case "cut":
            path.chmod(0o644)
            os.truncate(path, 10)
        case "record":
            (layout.artifact("art") / "copy.json").write_text("not JSON")
    again = ArtifactStore(layout, BlobStore(layout))
    assert again.recover() == []
    assert not again.is_whole(COPY)
    put(again)
    assert again.open_path("art", "dir/model.gguf").read_bytes() == CONTENT
    assert again.is_whole(COPY)


def test_blobs_without_an_artifact_are_collected(store: ArtifactStore, layout: Layout) -> None:
    put(store)
    orphan = layout.blob("f" * 64)
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"x")
    store.recover()
    assert not orphan.exists()


def test_a_sweep_drops_what_is_neither_whole_nor_wanted(store: ArtifactStore, layout: Layout) -> None:
    put(store)
    for artifact in ("wanted", "unwanted"):
        copy = CopyAssignment(artifact=artifact, files=(FileEntry(path="b", size_bytes=5),))
        partial = store.open_partial(artifact, copy.files[0])
        partial.write(b"abc")
        partial.close()
        store.has_file(artifact, FILE)
    store.sweep([CopyAssignment(artifact="wanted", files=(FileEntry(path="b", size_bytes=5),))])
    assert {item.artifact for item in store.stored()} == {"art", "wanted"}
    assert len(files_under(layout.partial)) == 1


def test_a_link_that_leads_out_is_not_followed(store: ArtifactStore, tmp_path: Path, layout: Layout) -> None:
    put(store)
    secret = tmp_path / "secret"
    secret.write_text("x")
    (layout.artifact("art") / "files" / "link").symlink_to(secret)
    with pytest.raises(FailedPrecondition):
        store.open_path("art", "link")
    with pytest.raises(InvalidArgument):
        store.open_path("art", "../copy.json")
    with pytest.raises(InvalidArgument):
        store.open_path("../art", "x")


@pytest.mark.parametrize("paths", [["../x"], ["a", "A"]])
def test_an_artifact_that_cannot_be_stored_is_refused(store: ArtifactStore, paths: list[str]) -> None:
    copy = CopyAssignment(artifact="art", files=tuple(FileEntry(path=p, size_bytes=1) for p in paths))
    with pytest.raises(InvalidArgument):
        store.check(copy)


def test_what_does_not_fit_is_refused_before_its_first_byte(store: ArtifactStore) -> None:
    free = store.figures().free_bytes
    huge = CopyAssignment(artifact="huge", files=(FileEntry(path="m", size_bytes=free, sha256="1" * 64),))
    with pytest.raises(ResourceExhausted) as caught:
        store.make_room(huge, evictable=[])
    assert caught.value.reason is ErrorReason.DISK_FULL
    assert caught.value.shortages
    assert store.stored() == []


def test_room_is_made_only_when_it_is_needed(store: ArtifactStore) -> None:
    put(store)
    assert store.make_room(CopyAssignment(artifact="b", files=(FILE,)), evictable=["art"]) == []
    assert store.is_whole(COPY)
    free = store.figures().free_bytes
    huge = CopyAssignment(artifact="huge", files=(FileEntry(path="m", size_bytes=free, sha256="1" * 64),))
    with pytest.raises(ResourceExhausted):
        store.make_room(huge, evictable=["art", "never-heard-of"])
    assert not store.is_whole(COPY)


def test_a_full_disk_is_said_in_plain_words() -> None:
    for number in (errno.ENOSPC, errno.EDQUOT):
        with pytest.raises(ResourceExhausted) as caught, disk_full_is_clear():
            raise OSError(number, "no")
        assert caught.value.reason is ErrorReason.DISK_FULL
    with pytest.raises(PermissionError), disk_full_is_clear():
        raise PermissionError(errno.EACCES, "no")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_write_to_a_full_disk() -> None:
    partial = PartialBlob(Path("/dev/full"), size_bytes=10)
    with pytest.raises(ResourceExhausted) as caught:
        partial.write(b"x" * 10)
    assert caught.value.reason is ErrorReason.DISK_FULL
    assert partial.offset == 0
    partial.close()


def test_json_files_are_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    assert read_json(path) is None
    write_json(path, {"a": 1})
    assert read_json(path) == {"a": 1}
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
    path.write_text("[1]")
    assert read_json(path) is None


def test_one_agent_per_data_directory(layout: Layout) -> None:
    lock = NodeLock.take(layout.lock_file)
    with pytest.raises(FailedPrecondition) as caught:
        NodeLock.take(layout.lock_file)
    assert str(os.getpid()) in caught.value.message
    lock.release()
    NodeLock.take(layout.lock_file).release()


def test_a_node_keeps_its_id(layout: Layout) -> None:
    node_id = load_node_id(layout.node_file)
    assert load_node_id(layout.node_file) == node_id
    layout.node_file.write_text("{}")
    assert load_node_id(layout.node_file) != node_id
