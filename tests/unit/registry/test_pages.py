"""Page tokens and etags: what clients give back, right or made up."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_common.core.errors import Aborted, ErrorReason, InvalidArgument
from moorage_registry.core import pages
from moorage_registry.core.etags import check_etag
from moorage_registry.core.filters.ordering import MAX_FIELDS
from moorage_registry.core.pages import Slot
from moorage_registry.core.records import Record
from moorage_registry.store.fields.stored import ORDERED_CHARACTERS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUERY = pages.query_id("models", "", "")
TEXT = Slot(str)
ids = st.from_regex("[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", fullmatch=True)
numbers = st.integers(-(1 << 63), (1 << 63) - 1)
moments = st.datetimes(timezones=st.just(UTC))
texts = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=ORDERED_CHARACTERS
)
values = st.one_of(
    *(
        st.tuples(st.just(Slot(kind)), drawn)
        for kind, drawn in (
            (str, texts),
            (int, numbers),
            (float, st.floats(allow_nan=False, allow_infinity=False)),
            (bool, st.booleans()),
            (datetime, moments),
        )
    ),
    st.tuples(st.just(Slot(int, nullable=True)), st.none() | numbers),
)


def token(value) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(("asked", "size"), [(0, 100), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)])
def test_page_sizes(asked, size):
    assert pages.page_size(asked) == size


@given(st.lists(values, max_size=5), st.lists(ids, min_size=1, max_size=2))
def test_a_token_leads_back_to_its_position(ordered, key):
    slots = [slot for slot, _ in ordered] + [TEXT] * len(key)
    position = (*(value for _, value in ordered), *key)
    restored = pages.decode(QUERY, pages.encode(QUERY, position), slots)
    assert restored == position
    assert list(map(type, restored)) == list(map(type, position))


def test_no_token_is_the_first_page():
    assert pages.decode(QUERY, "", [TEXT]) is None


@pytest.mark.parametrize("character", ["\x01", "\U0001f6a2", '"', "\\", "x"])
def test_a_token_is_never_longer_than_a_request_may_hold(character):
    position = [character * ORDERED_CHARACTERS] * MAX_FIELDS + ["a" * 63, "b" * 63]
    made = pages.encode(QUERY, position)
    assert len(made) <= 8192  # as the protos say
    assert pages.decode(QUERY, made, [TEXT] * len(position)) == tuple(position)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda b: base64.urlsafe_b64encode(b).decode()))
def test_whatever_somebody_makes_up_is_refused_in_one_way(made_up):
    if made_up:
        with pytest.raises(InvalidArgument) as caught:
            pages.decode(QUERY, made_up, [TEXT])
        assert caught.value.reason is ErrorReason.PAGE_TOKEN_INVALID


@pytest.mark.parametrize(
    "value",
    [[], {}, 5, None, [QUERY], [QUERY, 5], [QUERY, "a", "b"], ["workers", "a"], [QUERY, "a\0"],
     [QUERY, "\ud800"], [None, "a"], [QUERY, None], [QUERY, True], [QUERY, ["a"]]],
)  # fmt: skip
def test_a_token_of_another_query_or_shape_is_refused(value):
    with pytest.raises(InvalidArgument):
        pages.decode(QUERY, token(value), [TEXT])


@pytest.mark.parametrize(
    ("kind", "value"),
    [(int, 1 << 63), (int, "1"), (int, 1.0), (int, True), (int, None), (bool, 1), (datetime, "yesterday"),
     (datetime, 5), (datetime, "0001-01-01T00:00:00+14:00"), (str, 1),
     (float, 1), (float, float("inf")), (float, float("nan"))],
)  # fmt: skip
def test_a_value_that_no_such_column_has_is_refused(kind, value):
    with pytest.raises(InvalidArgument):
        pages.decode(QUERY, token([QUERY, value]), [Slot(kind)])


def test_a_moment_of_another_zone_is_the_same_moment():
    there = NOW.astimezone(timezone(timedelta(hours=2)))
    assert pages.decode(QUERY, pages.encode(QUERY, [there]), [Slot(datetime)]) == (NOW,)


def test_queries_that_differ_in_any_part_are_told_apart():
    parts = [("a", "b", "c"), ("a", "", "bc"), ("ab", "", "c"), ("a", "c", "b"), ('a","b', "", "c")]
    assert len({pages.query_id(*each) for each in parts}) == len(parts)


def test_a_token_nested_too_deeply_is_refused():
    with pytest.raises(InvalidArgument):
        pages.decode(QUERY, base64.urlsafe_b64encode(b"[" * 100_000).decode(), [TEXT])


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
