"""Which paths of artifacts become files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_agent.core.paths import check_path, check_paths
from moorage_common.core.errors import InvalidArgument


@pytest.mark.parametrize(
    "path", ["model.gguf", "a/b/c.bin", ".gitattributes", "Modell für dich.gguf", "..x/y..z"]
)
def test_plain_paths_stay_as_they_are(path: str) -> None:
    assert str(check_path(path)) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a/..",
        "./a",
        "a//b",
        "a/",
        "a\x00b",
        "a\nb",
        "a\\b",
        "a\x7fb",
        "a./b",
        "a /b",
        "x" * 256,
        "/".join(["x" * 200] * 6),
        "a\ud800b",
    ],
)
def test_paths_that_leave_or_are_mangled_are_refused(path: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_path(path)
    assert caught.value.violations


@given(st.text(max_size=60))
def test_whatever_is_accepted_stays_below_its_directory(path: str) -> None:
    try:
        checked = check_path(path)
    except InvalidArgument:
        return
    root = Path("/root/of/it")
    # As text only: what is accepted holds nothing that a file system would resolve.
    assert (root / checked).parts[: len(root.parts)] == root.parts
    assert ".." not in checked.parts
    assert str(checked) == path


@pytest.mark.parametrize(
    "paths",
    [["a", "a"], ["A.gguf", "a.gguf"], ["caf\u00e9", "cafe\u0301"], ["a", "a/b"], ["dir/x", "DIR"]],
    ids=["same", "case", "unicode", "file and directory", "directory and file"],
)
def test_paths_that_meet_in_one_file_are_refused(paths: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        check_paths(paths)


def test_paths_side_by_side_are_fine() -> None:
    assert len(check_paths(["a/b", "a/c", "b", "ab"])) == 4
