"""Which files a hub source means."""

import pytest

from moorage_common.core.errors import ErrorReason, FailedPrecondition, InvalidArgument, NotFound
from moorage_downloader.core.selection import select_model
from moorage_downloader.core.source_ref import parse_source

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
    selection = select_model(parse_source(f"hf:o/r/{path}"), REPO)
    assert selection.paths == expected
    assert selection.entry_point == expected[0]


@pytest.mark.parametrize("files", [["README.md", "m.gguf", "mmproj.gguf"], [*SPLIT, "x.bin"]])
def test_a_repository_with_one_model_needs_no_path(files):
    assert select_model(parse_source("hf:o/r"), files).paths[0].endswith(".gguf")


def test_several_models_are_listed():
    with pytest.raises(InvalidArgument, match=r"name one of: big/m-Q8-00001-of-00003\.gguf, m-Q4\.gguf$"):
        select_model(parse_source("hf:o/r"), REPO)
    with pytest.raises(InvalidArgument, match=r"and 80 more$"):
        select_model(parse_source("hf:o/r/*"), [f"{n:03}.gguf" for n in range(100)])


@pytest.mark.parametrize(
    ("path", "files", "said"),
    [
        ("x.gguf", REPO, "'hf:o/r/x.gguf' not found: the repository has no file 'x.gguf'"),
        ("*Q5*", REPO, "no GGUF file there matches"),
        ("", ["README.md"], "no GGUF file there"),
        ("", [], "no GGUF file there"),
        (SPLIT[0], SPLIT[:2], "of 3 shards, 'big/m-Q8-00003-of-00003.gguf' is missing"),
        ("*", SPLIT[1:], "is missing"),
    ],
)
def test_what_is_not_there_is_named(path, files, said):
    with pytest.raises(NotFound) as caught:
        select_model(parse_source(f"hf:o/r/{path}"), files)
    assert said in caught.value.message
    assert caught.value.reason is ErrorReason.SOURCE_NOT_FOUND


def test_other_files_are_no_models():
    with pytest.raises(InvalidArgument, match=r"config\.json is not a GGUF file"):
        select_model(parse_source("hf:o/r/config.json"), REPO)
    with pytest.raises(FailedPrecondition, match="cannot be"):
        select_model(parse_source("hf:o/r/m-00009-of-00002.gguf"), ["m-00009-of-00002.gguf"])
