"""Inspecting sources: the facts of models whose weights stay where they are."""

import pytest

from moorage_cli.quickstart.tiny_model import TinyModel, write_tiny_model
from moorage_common.core.errors import ErrorReason, MoorageError, NotFound, Unavailable
from moorage_downloader.resolver import Resolver


@pytest.fixture
def resolver(sources):
    return Resolver(sources)


async def test_facts_come_from_the_header_alone(hub, resolver, add_file, tmp_path):
    (path,) = write_tiny_model(tmp_path / "big.gguf", TinyModel(layers=8, hidden=256, feed_forward=1024))
    content = path.read_bytes()
    add_file("m.gguf", content)
    resolution = await resolver.resolve("hf:org/model")
    assert resolution.facts.block_count == 8
    assert resolution.artifact.size_bytes == len(content)
    assert hub.seen.body_bytes <= 128 << 10 < len(content)


async def test_shards_and_every_scheme_agree(hub, resolver, add_file, tmp_path):
    files = write_tiny_model(tmp_path / "m.gguf", TinyModel(shards=3))
    for file in files:
        add_file(file.name, file.read_bytes())
    url = f"{hub.url}/org/model/resolve/main/{files[1].name}"
    resolutions = [await resolver.resolve(source) for source in ("hf:org/model", url, f"file:{files[2]}")]
    assert len({resolution.facts for resolution in resolutions}) == 1
    assert len({resolution.artifact.id for resolution in resolutions}) == 3


async def test_servers_without_ranges_will_do(hub, resolver, add_file, tiny_model):
    add_file("m.gguf", tiny_model)
    hub.faults.ignored_ranges = 1000
    assert (await resolver.resolve(f"{hub.url}/org/model/resolve/main/m.gguf")).facts.block_count == 4


@pytest.mark.parametrize(
    ("change", "reason", "said"),
    [
        (lambda b: b[:-1], ErrorReason.MODEL_FILE_INVALID, "truncated: the tensors need 766,"),
        (lambda b: b[:5000], ErrorReason.MODEL_FILE_INVALID, "the file has 5,000"),
        (lambda _: b"<!DOCTYPE html>", ErrorReason.MODEL_FILE_INVALID, "an HTML page"),
        (lambda _: b"", ErrorReason.MODEL_FILE_INVALID, "only 0 bytes"),
        (lambda b: b.replace(b"llama", b"gpt-6", 1), ErrorReason.ARCHITECTURE_UNSUPPORTED, "'gpt-6'"),
    ],
)
async def test_files_that_no_engine_would_load_are_told_apart(
    resolver, add_file, tiny_model, change, reason, said
):
    add_file("m.gguf", change(tiny_model))
    with pytest.raises(MoorageError) as caught:
        await resolver.resolve("hf:org/model")
    assert caught.value.reason is reason
    assert said in caught.value.message
    assert caught.value.metadata["file"] == "m.gguf"


async def test_what_is_not_there_or_not_up_is_told(hub, resolver, add_file, tiny_model):
    with pytest.raises(NotFound):
        await resolver.resolve("hf:org/model")
    add_file("m.gguf", tiny_model)
    hub.faults.cuts, hub.faults.cut_after_bytes = 1, 100
    with pytest.raises(Unavailable):
        await resolver.resolve("hf:org/model")


async def test_the_time_is_bounded(hub, sources, add_file, tiny_model):
    add_file("m.gguf", tiny_model)
    hub.faults.stalls, hub.faults.stall_after_bytes = 1, 100
    with pytest.raises(MoorageError, match=r"longer than 0\.2 s"):
        await Resolver(sources).resolve("hf:org/model", timeout_s=0.2)
