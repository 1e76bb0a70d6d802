"""Page tokens and etags: what clients give back, right or made up."""

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_common.core.errors import Aborted, ErrorReason, InvalidArgument
from moorage_registry.core import pages
from moorage_registry.core.etags import check_etag
from moorage_registry.core.records import Record

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ids = st.from_regex("[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", fullmatch=True)


def token(value) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(("asked", "size"), [(0, 100), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)])
def test_page_sizes(asked, size):
    assert pages.page_size(asked) == size


@given(st.lists(ids, min_size=1, max_size=2).map(tuple))
def test_a_token_leads_back_to_its_key(key):
    assert pages.decode("models", pages.encode("models", key), parts=len(key)) == key


def test_no_token_is_the_first_page():
    assert pages.decode("models", "", parts=1) is None


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda b: base64.urlsafe_b64encode(b).decode()))
def test_whatever_somebody_makes_up_is_refused_in_one_way(made_up):
    if made_up:
        with pytest.raises(InvalidArgument) as caught:
            pages.decode("models", made_up, parts=1)
        assert caught.value.reason is ErrorReason.PAGE_TOKEN_INVALID


@pytest.mark.parametrize(
    "value",
    [[], {}, 5, None, ["models"], ["models", 5], ["models", "a", "b"], ["workers", "a"], ["models", "a\0"],
     ["models", "\ud800"], [None, "a"]],
)  # fmt: skip
def test_a_token_of_another_query_or_shape_is_refused(value):
    with pytest.raises(InvalidArgument):
        pages.decode("models", token(value), parts=1)


def test_a_token_nested_too_deeply_is_refused():
    with pytest.raises(InvalidArgument):
        pages.decode("models", base64.urlsafe_b64encode(b"[" * 100_000).decode(), parts=1)


def test_an_etag_accepts_just_the_state_that_it_was_read_of():
    record = Record(uid="0123456789", version=3, created_at=NOW, updated_at=NOW)
    check_etag("models/m", record.etag, record)
    check_etag("models/m", "", record)
    for other in (
        Record(uid="0123456789", version=4, created_at=NOW, updated_at=NOW),
        Record(uid="9876543210", version=3, created_at=NOW, updated_at=NOW),
    ):
        with pytest.raises(Aborted) as caught:
            check_etag("models/m", record.etag, other)
        assert caught.value.reason is ErrorReason.ETAG_MISMATCH
        assert caught.value.metadata["current_etag"] == other.etag
