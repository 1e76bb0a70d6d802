"""Versions as numbers to compare, and as models wish for them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_scheduler.core.versions import UNKNOWN, VersionWish, number, parse


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("550.54.14", (550, 54, 14)), ("8.9", (8, 9)), ("535.104.05", (535, 104, 5)), (" 12 ", (12,)),
        ("v0.9.2", (0, 9, 2)), ("0.9.2rc1", (0, 9, 2)), ("0.32.0+cu129", (0, 32, 0)), ("7.5-beta", (7, 5)),
        ("", ()), ("b4567", ()), ("unknown", ()), (".5", ()), ("-1", ()), ("\u0663.1", ()),
    ],
)  # fmt: skip
def test_the_numbers_that_a_version_starts_with(text, numbers):
    assert parse(text) == numbers


def test_numbers_order_versions_as_people_do():
    order = [
        "0",
        "0.0.1",
        "0.9",
        "0.9.2",
        "0.10",
        "1",
        "1.0.0.1",
        "7.5",
        "8.0",
        "8.9",
        "9.0",
        "525",
        "525.60.13",
    ]
    numbers = [number(parse(text)) for text in order]
    assert all(lower < higher for lower, higher in pairwise(numbers))
    assert number((1,)) == number((1, 0)) == number((1, 0, 0, 0))


def test_one_that_is_not_known_is_above_them_all():
    assert number(()) == UNKNOWN > number((10**9,) * 4)


@given(text=st.text() | st.from_regex(r"[0-9v. ]{0,40}") | st.integers(0, 6000).map("9".__mul__))
def test_whatever_an_agent_says_is_a_number_that_a_column_holds(text):
    assert 0 <= number(parse(text)) < 2**63


@given(versions=st.tuples(*[st.lists(st.integers(0, 30_000), min_size=1, max_size=4).map(tuple)] * 2))
def test_numbers_compare_as_versions_do(versions):
    one, other = (version + (0,) * (4 - len(version)) for version in versions)
    assert (number(one) < number(other)) == (one < other)


@given(wish=st.text(max_size=20), version=st.text(max_size=20))
def test_no_wish_and_no_version_is_too_odd(wish, version):
    allowed = VersionWish(wish).allows(version)
    if version == wish.strip() or not wish.strip():
        assert allowed
