"""Names of sources."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_common.core.errors import ErrorReason, InvalidArgument
from moorage_downloader.core.source_ref import HubRef, LocalRef, WebRef, is_loopback, parse_source


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("hf:org/repo", HubRef(repo="org/repo")),
        ("hf:org/repo/", HubRef(repo="org/repo")),
        ("hf:Org-1/re.po_2@v1.0/a/b.gguf", HubRef(repo="Org-1/re.po_2", revision="v1.0", path="a/b.gguf")),
        ("hf:org/repo/*Q4_K_M*", HubRef(repo="org/repo", path="*Q4_K_M*")),
        ("hf:org/repo@refs%2Fpr%2F1", HubRef(repo="org/repo", revision="refs/pr/1")),
        ("https://host/a/m.gguf?download=1", WebRef(url="https://host/a/m.gguf?download=1")),
        ("http://127.0.0.1:8000/m.gguf", WebRef(url="http://127.0.0.1:8000/m.gguf")),
        ("http://[::1]:8000/m.gguf", WebRef(url="http://[::1]:8000/m.gguf")),
        ("file:/models/m.gguf", LocalRef(path="/models/m.gguf")),
        ("file:///models/m.gguf", LocalRef(path="/models/m.gguf")),
        ("file:/models/llama/", LocalRef(path="/models/llama")),
        ("file://localhost/models/m.gguf", LocalRef(path="/models/m.gguf")),
    ],
)
def test_reads_every_form(text, ref):
    assert parse_source(text) == ref
    assert parse_source(str(ref)) == ref


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a source is"),
        ("llama3", "a source is"),
        ("s3:bucket/key", "a source is"),
        ("hf:org/repo\n", "a source is"),
        ("hf:", "hub source"),
        ("hf:repo", "hub source"),
        ("hf:org/re..po", "hub source"),
        ("hf:-org/repo", "hub source"),
        ("hf:org/repo@", "hub source"),
        ("hf:org/repo@../x", "not a revision"),
        ("hf:org/repo@a%20b", "not a revision"),
        ("https:///m.gguf", "no host"),
        ("https://host", "end with the name of a file"),
        ("https://host/folder/", "end with the name of a file"),
        ("https://host/m.gguf#part", "end with the name of a file"),
        ("https://host:99999/m.gguf", "not a URL"),
        ("https://[::1/m.gguf", "not a URL"),
        ("https://user:pw@host/m.gguf", "password"),
        ("http://host/m.gguf", "use https"),
        ("http://127.0.0.1.evil.com/m.gguf", "use https"),
        ("file:m.gguf", "absolute"),
        ("file:/", "absolute"),
        ("file:/models/../etc/passwd", r"'\.\.'"),
        ("file://server/m.gguf", "another machine"),
    ],
)
def test_says_what_is_wrong(text, said):
    with pytest.raises(InvalidArgument, match=said) as caught:
        parse_source(text)
    assert caught.value.reason is ErrorReason.SOURCE_INVALID
    assert caught.value.violations[0].field == "source"


@given(
    st.text(max_size=60), st.sampled_from(["", "hf:", "hf:o/r", "https://", "https://h/", "file:", "file:/"])
)
def test_whatever_is_read_reads_the_same_again(tail, head):
    try:
        ref = parse_source(head + tail)
    except InvalidArgument:
        return
    assert parse_source(str(ref)) == ref


def test_pinning_keeps_only_the_commit_and_the_file():
    assert (
        str(HubRef(repo="o/r", revision="main", path="*").pinned(commit="abc", path="m.gguf"))
        == "hf:o/r@abc/m.gguf"
    )


def test_siblings_on_the_web_keep_the_query():
    ref = WebRef(url="https://host/a%20b/m-00001-of-00002.gguf?x=1")
    assert ref.file_name == "m-00001-of-00002.gguf"
    assert ref.sibling("m 2.gguf") == "https://host/a%20b/m%202.gguf?x=1"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("localhost.evil.com", False),
        ("", False),
    ],
)
def test_loopback(host, expected):
    assert is_loopback(host) is expected
