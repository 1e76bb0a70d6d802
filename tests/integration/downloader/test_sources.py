"""Sources over real sockets: what they resolve to, and their bytes."""

import hashlib
import os

import pytest
from safetensors_files import write_model

from moorage_cli.quickstart.hub import Hub
from moorage_common.core.errors import (
    ErrorReason,
    FailedPrecondition,
    InvalidArgument,
    MoorageError,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from moorage_downloader.core.artifact import DigestOrigin
from moorage_downloader.core.source_ref import parse_source
from moorage_downloader.sources.http_reader import HttpReader
from moorage_downloader.sources.hub import HubSource

CONTENT = os.urandom(700_000)


async def read(sources, artifact, path, **options):
    parts = []
    async with sources.open(artifact, artifact.file(path), **options) as opened:
        async for chunk in opened.chunks:
            parts.append(chunk)
    return opened.offset, b"".join(parts)


async def test_a_hub_source_is_pinned_to_its_commit(hub, sources, add_file):
    add_file("sub/m.gguf", CONTENT)
    add_file("README.md", b"hello")
    artifact = await sources.resolve("hf:org/model")
    assert artifact.source == f"hf:org/model@{artifact.revision}/sub/m.gguf"
    (file,) = artifact.files
    assert (file.path, file.size_bytes) == ("sub/m.gguf", 700_000)
    assert (file.sha256, file.digest_origin) == (hashlib.sha256(CONTENT).hexdigest(), DigestOrigin.SOURCE)
    assert artifact.entry_point == "sub/m.gguf"
    assert await sources.resolve(artifact.source) == artifact
    assert hub.seen.body_bytes == 0
    await sources.confirm(artifact)
    assert await read(sources, artifact, "sub/m.gguf") == (0, CONTENT)
    assert await read(sources, artifact, "sub/m.gguf", offset=100) == (100, CONTENT[100:])
    assert await read(sources, artifact, "sub/m.gguf", offset=100, length=50) == (100, CONTENT[100:150])


async def test_a_small_file_has_its_git_blob_id(sources, add_file, monkeypatch):
    monkeypatch.setattr("moorage_cli.quickstart.hub_repos._LFS_SUFFIXES", frozenset())
    add_file("m.gguf", b"hello\n")
    (file,) = (await sources.resolve("hf:org/model")).files
    assert (file.sha256, file.git_blob_id) == ("", "ce013625030ba8dba906f756967f9e9ca394464a")
    assert file.digest_origin is None


async def test_a_branch_and_shards(sources, add_file):
    for number in (1, 2):
        add_file(f"m-0000{number}-of-00002.gguf", bytes([number]) * 10, repo="org/model@v2")
    artifact = await sources.resolve("hf:org/model@v2/m-00002-of-00002.gguf")
    assert [file.path for file in artifact.files] == ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]
    assert artifact.entry_point == "m-00001-of-00002.gguf"
    assert (await read(sources, artifact, "m-00002-of-00002.gguf"))[1] == b"\2" * 10


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        ("hf:org/other", NotFound, "source 'hf:org/other' not found: the hub knows no such repository"),
        ("hf:org/model@nope", NotFound, "no such revision"),
        ("hf:org/model/x.gguf", NotFound, "there is no 'x.gguf'"),
        ("hf:org/model", InvalidArgument, "name one of: a.gguf, b.gguf"),
    ],
)
async def test_what_the_hub_does_not_have(sources, add_file, source, kind, said):
    add_file("a.gguf", b"1")
    add_file("b.gguf", b"2")
    with pytest.raises(kind) as caught:
        await sources.resolve(source)
    assert said in caught.value.message
    assert caught.value.metadata["source"] == source


async def test_tokens_open_private_repositories_and_go_nowhere_else(hub_root, new_sources, add_file):
    add_file("m.gguf", CONTENT)
    async with Hub(hub_root, cdn_host="localhost", token="secret") as hub:
        with pytest.raises(MoorageError) as caught:
            await new_sources(hub).resolve("hf:org/model")
        assert caught.value.reason in {ErrorReason.SOURCE_DENIED, ErrorReason.SOURCE_NOT_FOUND}
        sources = new_sources(hub, token="secret")
        artifact = await sources.resolve("hf:org/model")
        hub.seen.requests.clear()
        assert (await read(sources, artifact, "m.gguf"))[1] == CONTENT
        assert [(seen.host.split(":")[0], seen.authorization) for seen in hub.seen.requests] == [
            ("127.0.0.1", "Bearer secret"),
            ("localhost", ""),
        ]
        assert "secret" not in repr(artifact)


async def test_hub_failures_are_told_and_may_pass(hub, sources, add_file):
    add_file("m.gguf", CONTENT)
    hub.faults.failures, hub.faults.failure_headers = 1, {"Retry-After": "7"}
    with pytest.raises(Unavailable, match="answered 503") as caught:
        await sources.resolve("hf:org/model")
    assert caught.value.reason is ErrorReason.SOURCE_UNAVAILABLE
    assert caught.value.retry_after_s == 7
    assert "downloader can reach it" in caught.value.remedy
    hub.faults.failures, hub.faults.failure_status = 1, 403
    with pytest.raises(PermissionDenied):
        await sources.resolve("hf:org/model")
    artifact = await sources.resolve("hf:org/model")
    hub.faults.failures, hub.faults.failure_status = 1, 503
    with pytest.raises(Unavailable, match="answered 503"):
        await read(sources, artifact, "m.gguf")


async def test_an_answer_that_is_no_hubs_is_told(hub, sources, add_file, monkeypatch):
    add_file("m.gguf", CONTENT)
    monkeypatch.setattr(
        "moorage_cli.quickstart.hub._sibling", lambda *_, **__: {"rfilename": "m.gguf", "size": -1}
    )
    with pytest.raises(FailedPrecondition, match="no usable size and digest"):
        await sources.resolve("hf:org/model")
    monkeypatch.setattr("moorage_cli.quickstart.hub._sibling", lambda *_, **__: {"name": 1})
    with pytest.raises(FailedPrecondition, match="cannot be understood"):
        await sources.resolve("hf:org/model")
    names = ["../../m.gguf"]
    monkeypatch.setattr("moorage_cli.quickstart.hub._sibling", lambda *_, **__: {"rfilename": names[0]})
    with pytest.raises(FailedPrecondition, match="does not stay in its folder"):
        await sources.resolve("hf:org/model")


async def test_an_endless_listing_is_cut_short(hub, sources, add_file, monkeypatch):
    add_file("m.gguf", CONTENT)
    monkeypatch.setattr("moorage_downloader.sources.hub_limits.MAX_ANSWER_BYTES", 50)
    with pytest.raises(Unavailable, match="too long"):
        await sources.resolve("hf:org/model")


async def test_nobody_there(new_sources, hub_root):
    async with Hub(hub_root) as hub:
        pass
    sources = new_sources(hub)
    with pytest.raises(Unavailable, match=r"cannot reach 127\.0\.0\.1"):
        await sources.resolve("hf:org/model")
    with pytest.raises(Unavailable, match=r"cannot reach 127\.0\.0\.1: Connection refused$"):
        await sources.resolve(f"{hub.url}/m.gguf")


async def test_transfers_that_go_wrong_say_how(hub, sources, add_file):
    add_file("m.gguf", CONTENT)
    artifact = await sources.resolve("hf:org/model")
    hub.faults.cuts, hub.faults.cut_after_bytes = 1, 300_000
    with pytest.raises(Unavailable, match="broke off"):
        await read(sources, artifact, "m.gguf")
    hub.faults.wrong_ranges = 1
    with pytest.raises(Unavailable, match="asked for bytes from 10, the server sent others"):
        await read(sources, artifact, "m.gguf", offset=10)
    hub.faults.ignored_ranges = 1
    assert await read(sources, artifact, "m.gguf", offset=10) == (0, CONTENT)
    hub.faults.withheld_bytes = 5
    with pytest.raises(FailedPrecondition, match="has 699,995 bytes, not 700,000") as caught:
        await read(sources, artifact, "m.gguf")
    assert caught.value.reason is ErrorReason.SOURCE_CHANGED


async def test_a_stalled_transfer_does_not_hang(hub, add_file, sources):
    add_file("m.gguf", CONTENT)
    artifact = await sources.resolve("hf:org/model")
    hub.faults.stalls, hub.faults.stall_after_bytes = 1, 100_000
    async with HttpReader(idle_timeout_s=0.2) as impatient:
        source = HubSource(impatient, endpoint=hub.url)
        async with source.open(parse_source(artifact.source), artifact, artifact.files[0]) as opened:
            with pytest.raises(Unavailable, match="broke off 600,000 bytes early"):
                assert [chunk async for chunk in opened.chunks]


async def test_a_resumed_transfer_continues_only_the_same_content(hub, sources, add_file):
    add_file("m.gguf", CONTENT)
    artifact = await sources.resolve("hf:org/model")
    async with sources.open(artifact, artifact.files[0]) as opened:
        validator = opened.validator
    assert validator
    assert await read(sources, artifact, "m.gguf", offset=1000, validator=validator) == (1000, CONTENT[1000:])
    hub.faults.etag_salt = "new"
    assert await read(sources, artifact, "m.gguf", offset=1000, validator=validator) == (0, CONTENT)


async def test_a_commit_that_serves_other_content_has_changed(sources, add_file, hub, monkeypatch):
    add_file("m.gguf", CONTENT)
    artifact = await sources.resolve("hf:org/model")
    add_file("m.gguf", CONTENT[::-1])
    with pytest.raises(NotFound):  # the hub has forgotten the commit
        await read(sources, artifact, "m.gguf")
    moved = await sources.resolve("hf:org/model")
    forged = artifact.__class__(
        source=moved.source, revision=moved.revision, files=artifact.files, entry_point=artifact.entry_point
    )
    with pytest.raises(FailedPrecondition, match="X-Linked-Etag"):
        await read(sources, forged, "m.gguf")


async def test_a_web_source(hub, sources, add_file):
    add_file("m.gguf", CONTENT)
    source = f"{hub.url}/org/model/resolve/main/m.gguf"
    artifact = await sources.resolve(source)
    assert artifact.source == source
    assert artifact.revision.startswith('"lfs-')
    assert [(file.path, file.size_bytes, file.sha256) for file in artifact.files] == [("m.gguf", 700_000, "")]
    await sources.confirm(artifact)
    assert await read(sources, artifact, "m.gguf") == (0, CONTENT)
    # Nothing would show that the rest is of the same file.
    assert await read(sources, artifact, "m.gguf", offset=100) == (0, CONTENT)
    assert (await read(sources, artifact, "m.gguf", offset=100, validator=artifact.revision))[0] == 100
    add_file("m.gguf", CONTENT[::-1])
    with pytest.raises(FailedPrecondition, match="its revision is") as caught:
        await sources.confirm(artifact)
    assert caught.value.reason is ErrorReason.SOURCE_CHANGED
    with pytest.raises(NotFound, match="answered 404"):
        await sources.resolve(f"{hub.url}/org/model/resolve/main/x.gguf")


async def test_web_shards(hub, sources, add_file):
    for number in (1, 2):
        add_file(f"m-0000{number}-of-00002.gguf", bytes([number]) * 10)
    artifact = await sources.resolve(f"{hub.url}/org/model/resolve/main/m-00002-of-00002.gguf")
    assert artifact.revision.startswith("sha256:")
    assert artifact.entry_point == "m-00001-of-00002.gguf"
    assert (await read(sources, artifact, "m-00001-of-00002.gguf"))[1] == b"\1" * 10


async def test_a_local_source(sources, tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(CONTENT)
    artifact = await sources.resolve(f"file:{path}")
    assert artifact.source == f"file:{path}"
    assert artifact.revision.startswith("700000 bytes of ")
    assert await read(sources, artifact, "m.gguf", offset=5, length=10) == (5, CONTENT[5:15])
    assert await read(sources, artifact, "m.gguf") == (0, CONTENT)
    await sources.confirm(artifact)
    path.write_bytes(CONTENT[::-1])
    with pytest.raises(FailedPrecondition, match="its revision is"):
        await sources.confirm(artifact)
    assert (await read(sources, artifact, "m.gguf", offset=5, validator=artifact.revision))[0] == 0


async def test_a_local_source_that_is_written_to_while_it_is_read(sources, tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(CONTENT * 4)
    artifact = await sources.resolve(f"file:{path}")
    with pytest.raises(FailedPrecondition, match="written to while it was read"):
        async with sources.open(artifact, artifact.files[0]) as opened:
            async for _ in opened.chunks:
                path.write_bytes(b"other")


async def test_local_files_that_will_not_do(sources, tmp_path):
    (tmp_path / "folder.gguf").mkdir()
    (tmp_path / "out.gguf").symlink_to("/etc/hostname")
    (tmp_path / "in.gguf").symlink_to(tmp_path / "real.gguf")
    (tmp_path / "real.gguf").write_bytes(b"x")
    (tmp_path / "loop.gguf").symlink_to("loop.gguf")
    (tmp_path / "away").symlink_to("/etc")
    (tmp_path / "crowded").mkdir()
    for number in range(10_001):
        (tmp_path / "crowded" / str(number)).touch()
    os.mkfifo(tmp_path / "pipe.gguf")
    for name, kind, said in [
        ("none.gguf", NotFound, "there is no file 'none.gguf'"),
        ("real.gguf/x.gguf", NotFound, "no file"),
        ("folder.gguf", NotFound, "no GGUF file and no config"),
        ("loop.gguf", FailedPrecondition, "'loop.gguf' is a loop of symbolic links"),
        ("away", FailedPrecondition, "not under the folder"),
        ("away/hostname", FailedPrecondition, "not under the folder"),
        ("crowded", FailedPrecondition, "more than 10,000 files"),
        ("pipe.gguf", FailedPrecondition, "not a plain file"),
        ("out.gguf", FailedPrecondition, "not under the folder"),
    ]:
        with pytest.raises(kind, match=said):
            await sources.resolve(f"file:{tmp_path}/{name}")
    assert (await sources.resolve(f"file:{tmp_path}/in.gguf")).size_bytes == 1


async def test_a_local_folder_is_what_is_in_it_now(sources, tmp_path):
    folder = write_model(tmp_path / "llama", shards=2, files=("tokenizer.json",))
    artifact = await sources.resolve(f"file:{folder}")
    assert len(artifact.files) == 5
    assert (await read(sources, artifact, "tokenizer.json")) == (0, b"{}")
    await sources.confirm(artifact)
    (folder / "tokenizer.json").write_text('{"changed": true}')
    with pytest.raises(FailedPrecondition, match="its revision is"):
        await sources.confirm(artifact)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
async def test_the_web_lists_no_folders(hub, sources, name):
    with pytest.raises(InvalidArgument, match="use hf: or file:"):
        await sources.resolve(f"{hub.url}/org/model/resolve/main/{name}")
