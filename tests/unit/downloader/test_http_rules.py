"""What answers over HTTP mean."""

import pytest

from moorage_common.core.errors import FailedPrecondition, NotFound, PermissionDenied, Unavailable
from moorage_downloader.core.http_rules import (
    ContentRange,
    Origin,
    parse_content_range,
    redirect_target,
    status_error,
)


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("https://hub/a/b", "/c", "https://hub/c"),
        ("https://hub/a/b", "https://cdn.example/x?sig=1", "https://cdn.example/x?sig=1"),
        ("http://127.0.0.1:1/a", "http://localhost:2/b", "http://localhost:2/b"),
        ("http://127.0.0.1:1/a", "https://cdn/b", "https://cdn/b"),
        ("http://mirror.lan/a", "http://files.lan/b", "http://files.lan/b"),
    ],
)
def test_redirects_that_are_followed(url, location, target):
    assert redirect_target(url, location, source="s") == target


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("http://hub/x", "unencrypted hub"),
        ("https://127.0.0.1/x", "this machine"),
        ("https://localhost/x", "this machine"),
        ("file:///etc/passwd", "not the web"),
        ("ftp://hub/x", "not the web"),
        ("https://hub:99999/x", "no valid URL"),
    ],
)
def test_redirects_that_are_not(location, said):
    with pytest.raises(FailedPrecondition, match=said):
        redirect_target("https://hub/a", location, source="s")


def test_origins():
    assert Origin.of("https://h/x") == Origin.of("https://h:443/y") == Origin("https", "h", 443)
    assert Origin.of("https://h/x") != Origin.of("https://h:444/x")
    assert Origin.of("http://h/x").port == 80


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, PermissionDenied),
        (403, PermissionDenied),
        (404, NotFound),
        (410, NotFound),
        (408, Unavailable),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
        (400, FailedPrecondition),
        (418, FailedPrecondition),
        (204, FailedPrecondition),
    ],
)
def test_statuses(status, kind):
    error = status_error(status, source="hf:o/r", host="hub", headers={})
    assert type(error) is kind
    assert str(status) in error.message
    assert error.metadata["source"] == "hf:o/r"


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7.0), ("99999", 600.0), ("Wed, 21 Oct 2026", None), ("-1", None)]
)
def test_retry_after(value, seconds):
    assert status_error(503, source="s", host="h", headers={"Retry-After": value}).retry_after_s == seconds


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes 10-19/100", ContentRange(10, 100)),
        (" bytes 0-0/1 ", ContentRange(0, 1)),
        ("bytes 10-19/*", ContentRange(10, None)),
        ("bytes 20-19/100", None),
        ("bytes */100", None),
        ("lines 1-2/3", None),
        ("", None),
    ],
)
def test_content_ranges(value, expected):
    assert parse_content_range(value) == expected
