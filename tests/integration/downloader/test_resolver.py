"""Inspecting sources: the facts of models whose weights stay where they are."""

import asyncio

import pytest
from safetensors_files import LLAMA, TENSORS, file_bytes, write_file, write_model

from moorage_cli.quickstart.tiny_model import TinyModel, write_tiny_model
from moorage_common.core.errors import ErrorReason, InvalidArgument, MoorageError, NotFound, Unavailable
from moorage_common.core.placement import ModelCategory
from moorage_common.modelfiles.safetensors import read_safetensors_folder
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


async def test_a_repository_in_safetensors_is_inspected_without_its_weights(hub, hub_root, resolver):
    tensors = {**TENSORS, "model.layers.1.mlp.experts.0.up_proj.weight": ("BF16", [1024, 1024])}
    beside = ("tokenizer.json", "generation_config.json", "README.md", "pytorch_model.bin.index.json")
    folder = write_model(hub_root / "org/model", tensors=tensors, shards=3, files=beside)
    write_file(folder / "consolidated.safetensors", tensors)
    resolution = await resolver.resolve("hf:org/model")
    artifact = resolution.artifact
    assert [file.path for file in artifact.files] == [
        "config.json",
        "generation_config.json",
        *(f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)),
        "model.safetensors.index.json",
        "tokenizer.json",
    ]
    assert artifact.entry_point == "config.json"
    assert artifact.source == f"hf:org/model@{artifact.revision}/config.json"
    assert (resolution.facts.architecture, resolution.facts.expert_bytes) == ("LlamaForCausalLM", 2 << 20)
    # No more than the first piece of any file.
    assert hub.seen.body_bytes <= 5 * (64 << 10) < artifact.size_bytes
    assert (await resolver.resolve(artifact.source)).artifact == artifact


@pytest.mark.parametrize(
    "source", ["hf:org/model/*.safetensors", "hf:org/model/config.json", "hf:org/model/model.safetensors"]
)
async def test_globs_and_files_name_the_whole_model(hub_root, resolver, source, add_file, tiny_model):
    write_model(hub_root / "org/model", files=("tokenizer.json",))
    add_file("m.gguf", tiny_model)
    resolution = await resolver.resolve(source)
    assert [file.path for file in resolution.artifact.files] == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert (await resolver.resolve("hf:org/model/*.gguf")).facts.block_count == 4


async def test_folders_of_a_repository(hub_root, resolver):
    for size, layers in (("small", 2), ("large", 4)):
        write_model(hub_root / "org/model" / size, config={**LLAMA, "num_hidden_layers": layers}, shards=2)
    resolution = await resolver.resolve("hf:org/model/large")
    assert resolution.facts.block_count == 4
    assert resolution.artifact.entry_point == "large/config.json"
    assert len(resolution.artifact.files) == 4
    with pytest.raises(InvalidArgument, match=r"name one of: large/config\.json, small/config\.json"):
        await resolver.resolve("hf:org/model")


async def test_folders_on_the_disk_say_the_same(hub_root, resolver, tmp_path):
    config = {**LLAMA, "architectures": ["Qwen3ForCausalLM"]}
    files = ("modules.json", "1_Pooling/config.json", "2_Dense/config.json")
    for folder in (hub_root / "org/model", tmp_path / "models/qwen"):
        folder.mkdir(parents=True)
        write_model(folder, config=config, shards=2, files=files)
        write_file(folder / "2_Dense/model.safetensors", {"linear.weight": ("F32", [4, 4])})
    remote = await resolver.resolve("hf:org/model")
    assert remote.facts.category is ModelCategory.EMBEDDING
    folder = tmp_path / "models/qwen"
    sources = [
        folder,
        f"{folder}/",
        folder / "config.json",
        folder / "model-00002-of-00002.safetensors",
        folder.parent,
    ]
    local = [await resolver.resolve(f"file:{source}") for source in sources]
    assert {resolution.artifact.id for resolution in local} == {local[0].artifact.id}
    assert local[0].artifact.source == f"file:{folder}/config.json"
    assert local[0].facts == remote.facts
    assert local[0].facts == (await asyncio.to_thread(read_safetensors_folder, folder)).facts
    assert [file.path for file in local[0].artifact.files] == [file.path for file in remote.artifact.files]
    assert "2_Dense/model.safetensors" in {file.path for file in local[0].artifact.files}


async def test_a_folder_with_one_gguf_means_that_file(resolver, tmp_path, tiny_model):
    (tmp_path / "models").mkdir()
    (tmp_path / "models/m.gguf").write_bytes(tiny_model)
    by_folder = await resolver.resolve(f"file:{tmp_path}/models")
    assert by_folder.artifact == (await resolver.resolve(f"file:{tmp_path}/models/m.gguf")).artifact


@pytest.mark.parametrize(
    ("files", "source", "reason", "said"),
    [
        (
            {},
            "hf:org/model",
            ErrorReason.SOURCE_NOT_FOUND,
            "no GGUF file and no config.json with safetensors",
        ),
        (
            {"config.json": b"{}"},
            "hf:org/model",
            ErrorReason.SOURCE_NOT_FOUND,
            "no GGUF file and no config.json",
        ),
        (
            {"config.json": b"{}", "model.safetensors": b"GGUF"},
            "",
            ErrorReason.MODEL_FILE_INVALID,
            "it has 4 bytes",
        ),
        (
            {"config.json": b"{}", "model.safetensors": file_bytes(TENSORS)},
            "",
            ErrorReason.MODEL_FILE_INVALID,
            "config.json is not usable: it gives no num_hidden_layers",
        ),
        (
            {"config.json": b"<html>", "model.safetensors": file_bytes(TENSORS)},
            "",
            ErrorReason.MODEL_FILE_INVALID,
            "config.json is not usable: not JSON",
        ),
        (
            {
                "config.json": b"{}",
                "model.safetensors": file_bytes(TENSORS),
                "model.safetensors.index.json": b'{"weight_map": {"a": "../../secret.safetensors"}}',
            },
            "",
            ErrorReason.MODEL_FILE_INVALID,
            "is in '../../secret.safetensors', which does not stay in the model's folder",
        ),
    ],
)
async def test_repositories_that_no_engine_would_load_are_told_apart(
    resolver, add_file, files, source, reason, said
):
    add_file("README.md", b"")
    for path, content in files.items():
        add_file(path, content)
    with pytest.raises(MoorageError) as caught:
        await resolver.resolve(source or "hf:org/model")
    assert caught.value.reason is reason
    assert said in caught.value.message


async def test_many_shards_are_inspected_at_once(hub, hub_root, resolver):
    tensors = {f"model.layers.{n}.weight": ("BF16", [64, 64]) for n in range(200)}
    write_model(hub_root / "org/model", tensors=tensors, shards=100)
    assert (await resolver.resolve("hf:org/model")).facts.parameter_count == 200 * 64 * 64
    hub.faults.cuts, hub.faults.cut_after_bytes = 3, 10
    with pytest.raises(Unavailable):
        await resolver.resolve("hf:org/model")
