"""Names that files may have."""

from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_common.core.errors import ErrorReason, FailedPrecondition
from moorage_downloader.core.file_names import check_file_names


@pytest.mark.parametrize(
    "paths",
    [
        ["m.gguf"],
        ["a/b/c.gguf", "a/b/d.gguf"],
        ["Modèle (v2) [Q4]+x.gguf"],
        [".gitattributes"],
        ["模型.gguf"],
        ["a.b/x", "a/b"],
    ],
)
def test_usual_names_pass(paths):
    check_file_names(paths)


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["../m.gguf"], "stay in its folder"),
        (["a/../../m.gguf"], "stay in its folder"),
        (["/etc/passwd"], "stay in its folder"),
        (["a//b"], "stay in its folder"),
        (["./a"], "stay in its folder"),
        ([""], "stay in its folder"),
        (["a\0b"], "invisible"),
        (["a\nb"], "invisible"),
        (["a\u202eb"], "invisible"),
        (["a\ud800"], "not Unicode"),
        (["a\\b"], "characters"),
        (["c:evil"], "characters"),
        (["x" * 256], "longer than 255"),
        (["x/" * 600 + "y"], "longer than 1024"),
        (["e\u0301"], "accents"),
        ([" a"], "drop"),
        (["a."], "drop"),
        (["a "], "drop"),
        ([".git/hooks/post-checkout"], "something else"),
        (["sub/.GIT/config"], "something else"),
        (["nul.gguf"], "something else"),
        (["com1"], "something else"),
        (["Model.gguf", "model.gguf"], "some disks take it for 'Model.gguf'"),
        (["a", "a/b"], "also a folder"),
        (["A/b", "a"], "also a folder"),
    ],
)
def test_others_are_refused(paths, said):
    with pytest.raises(FailedPrecondition, match=said) as caught:
        check_file_names(paths)
    assert caught.value.reason is ErrorReason.SOURCE_INVALID
    assert caught.value.metadata["file"].isascii()


@given(st.text(max_size=40))
def test_what_passes_stays_below_any_folder(path):
    try:
        check_file_names([path])
    except FailedPrecondition:
        return
    for kind in (PurePosixPath, PureWindowsPath):
        parts = kind(path).parts
        assert not kind(path).is_absolute()
        assert ".." not in parts
        assert "/".join(parts) == path
