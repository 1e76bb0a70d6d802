"""Which files a hub source means."""

import time

import pytest

from moorage_common.core.errors import ErrorReason, FailedPrecondition, InvalidArgument, NotFound
from moorage_downloader.core.selection import select_model
from moorage_downloader.core.source_ref import parse_source


def select(source, paths):
    return select_model(paths, wanted=parse_source(source).path, source=source)


SPLIT = tuple(f"big/m-Q8-0000{n}-of-00003.gguf" for n in (1, 2, 3))
REPO = ["README.md", "m-Q4.gguf", "mmproj-m.gguf", "config.json", *SPLIT]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("m-Q4.gguf", ("m-Q4.gguf",)),
        (SPLIT[1], SPLIT),
        ("*Q4*", ("m-Q4.gguf",)),
        ("big/*", SPLIT),
        ("*-00002-of-*", SPLIT),
        ("mmproj-m.gguf", ("mmproj-m.gguf",)),
    ],
)
def test_names_and_globs(path, expected):
    selection = select(f"hf:o/r/{path}", REPO)
    assert selection.paths == expected
    assert selection.entry_point == expected[0]


@pytest.mark.parametrize("files", [["README.md", "m.gguf", "mmproj.gguf"], [*SPLIT, "x.bin"]])
def test_a_repository_with_one_model_needs_no_path(files):
    assert select("hf:o/r", files).paths[0].endswith(".gguf")


def test_several_models_are_listed():
    with pytest.raises(InvalidArgument, match=r"name one of: big/m-Q8-00001-of-00003\.gguf, m-Q4\.gguf$"):
        select("hf:o/r", REPO)
    with pytest.raises(InvalidArgument, match=r"and 80 more$"):
        select("hf:o/r/*", [f"{n:03}.gguf" for n in range(100)])


@pytest.mark.parametrize(
    ("path", "files", "said"),
    [
        ("x.gguf", REPO, "'hf:o/r/x.gguf' not found: there is no 'x.gguf'"),
        ("*Q5*", REPO, "no GGUF file and no config.json with safetensors there matches '*Q5*'"),
        ("", ["README.md"], "no GGUF file and no config.json with safetensors there"),
        ("", [], "no GGUF file and no config.json with safetensors there"),
        (SPLIT[0], SPLIT[:2], "of 3 shards, 'big/m-Q8-00003-of-00003.gguf' is missing"),
        ("*", SPLIT[1:], "is missing"),
    ],
)
def test_what_is_not_there_is_named(path, files, said):
    with pytest.raises(NotFound) as caught:
        select(f"hf:o/r/{path}", files)
    assert said in caught.value.message
    assert caught.value.reason is ErrorReason.SOURCE_NOT_FOUND


def test_other_files_are_no_models():
    with pytest.raises(InvalidArgument, match=r"config\.json is neither a GGUF file nor of"):
        select("hf:o/r/config.json", REPO)
    with pytest.raises(FailedPrecondition, match="cannot be"):
        select("hf:o/r/m-00009-of-00002.gguf", ["m-00009-of-00002.gguf"])


FOLDER = (
    "config.json", "generation_config.json", "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors", "model.safetensors.index.json", "tokenizer.json",
)  # fmt: skip
BESIDE = [
    "README.md",
    "LICENSE",
    ".gitattributes",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "a.onnx",
]


@pytest.mark.parametrize(
    "path", ["", "config.json", "*.safetensors", "*", "model-00002-of-00002.safetensors", "model-*"]
)
def test_a_repository_in_safetensors_is_its_folder(path):
    selection = select(f"hf:o/r/{path}", [*FOLDER, *BESIDE])
    assert selection.paths == FOLDER
    assert selection.entry_point == "config.json"


def test_everything_that_an_engine_reads_comes_along():
    needed = {
        "config.json", "model.safetensors", "modules.json", "1_Pooling/config.json", "2_Dense/config.json",
        "2_Dense/model.safetensors", "additional_chat_templates/tool.jinja", "chat_template.jinja", "merges.txt",
        "tokenizer.model", "modeling_x.py", "hf_quant_config.json", "qwen.tiktoken",
    }  # fmt: skip
    beside = {"onnx/model.onnx", "onnx/config.json", "original/params.json", "adapter_model.safetensors"}
    assert set(select("hf:o/r", needed | beside).paths) == needed


def test_a_folder_of_a_repository_can_be_named():
    paths = [f"{size}/{path}" for size in ("7b", "70b") for path in FOLDER]
    assert select("hf:o/r/70b", paths).entry_point == "70b/config.json"
    assert select("hf:o/r/70b/*", paths).paths == tuple(f"70b/{path}" for path in FOLDER)
    with pytest.raises(InvalidArgument, match=r"name one of: 70b/config\.json, 7b/config\.json$"):
        select("hf:o/r", paths)


def test_a_model_in_a_folder_of_another_is_part_of_it():
    inner = [
        "draft/config.json",
        "draft/model.safetensors",
        "draft/deep/config.json",
        "draft/deep/a.safetensors",
    ]
    assert select("hf:o/r", [*FOLDER, *inner]).entry_point == "config.json"
    assert select("hf:o/r/draft", [*FOLDER, *inner]).entry_point == "draft/config.json"


def test_two_formats_are_two_models():
    with pytest.raises(InvalidArgument, match=r"name one of: config\.json, m\.gguf$"):
        select("hf:o/r", [*FOLDER, "m.gguf"])
    assert select("hf:o/r/*.gguf", [*FOLDER, "m.gguf"]).paths == ("m.gguf",)
    assert select("hf:o/r/*.safetensors", [*FOLDER, "m.gguf"]).paths == FOLDER


def test_weights_without_a_config_are_no_model():
    with pytest.raises(NotFound, match=r"no config\.json with safetensors"):
        select("hf:o/r", ["adapter_config.json", "adapter_model.safetensors"])
    with pytest.raises(InvalidArgument, match=r"x\.safetensors is neither"):
        select("hf:o/r/x.safetensors", ["x.safetensors"])


def test_a_hundred_thousand_files_are_chosen_among_quickly():
    paths = [f"{n}/{name}" for n in range(20_000) for name in FOLDER[:3]]
    paths += [f"m{n}-00500-of-01000.gguf" for n in range(40_000)]
    started = time.process_time()
    with pytest.raises(InvalidArgument, match="several models"):
        select("hf:o/r", paths)
    assert time.process_time() - started < 5
