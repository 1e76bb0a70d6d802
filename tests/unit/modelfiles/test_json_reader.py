"""JSON that comes in pieces."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_common.modelfiles.json_reader import MAX_MEMBER, JsonReader


class Refused(Exception):
    pass


def drive(parser, data, chunk):
    asked = 0
    try:
        need = next(parser)
        while True:
            assert 0 < need.length <= len(data) - need.offset
            asked += 1
            need = parser.send(data[need.offset : need.offset + max(need.length, chunk)])
    except StopIteration as done:
        return done.value, asked


def members(data, *, chunk=1):
    found = []
    json_reader = JsonReader(0, len(data), Refused)

    def whole():
        yield from json_reader.members(lambda name, value: found.append((name, value)))
        yield from json_reader.finish()

    _, asked = drive(whole(), data, chunk)
    return found, asked


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(), VALUES, max_size=5),
    st.integers(1, 40),
    st.sampled_from([None, 2]),
    st.booleans(),
)
def test_members_are_those_of_the_library_whatever_the_pieces(content, chunk, indent, escape):
    data = json.dumps(content, indent=indent, ensure_ascii=escape).encode("utf-8", "surrogatepass")
    try:
        data.decode()
    except UnicodeDecodeError:
        return
    assert members(data, chunk=chunk)[0] == list(content.items())


def test_a_name_that_comes_twice_is_handed_over_twice():
    assert members(b'{"a": 1, "a": 2}')[0] == [("a", 1), ("a", 2)]


@pytest.mark.parametrize("chunk", [1, 1000])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it ends too early"),
        (b"   ", "it ends too early"),
        (b"[1]", "expected { in '["),
        (b'{"a": 1', "it ends too early"),
        (b'{"a": ', "Expecting value at its end"),
        (b'{"a"', "it ends too early"),
        (b'{"a": "b', "Unterminated string"),
        (b'{"a" 1}', "expected : in '1}'"),
        (b'{"a": 1 "b": 2}', "expected , or }"),
        (b'{"a": 1,}', "Expecting value in '}'"),
        (b"{1: 2}", "a name must be a string"),
        (b'{"a": 1} x', "more comes after its end in 'x'"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": "\xff"}', "it is not UTF-8"),
        (b'{"a": "\xc3', "it is not UTF-8"),
        (b'{"a": ' + b"1" * 5000 + b"}", "Exceeds the limit"),
        (b'{"a": ' + b"[" * 200_000, "nested too deeply"),
        (b'{"a": "' + b"x" * 3 * MAX_MEMBER + b'"}', "longer than 1 MiB|Unterminated string"),
    ],
)
def test_what_is_no_object_is_refused(data, said, chunk):
    with pytest.raises(Refused, match=said.replace("[", r"\[")):
        members(data, chunk=chunk)


def test_long_members_are_not_gone_through_for_every_piece():
    found, asked = members(b'{"a": "' + b"x" * 100_000 + b'"}')
    assert found == [("a", "x" * 100_000)]
    assert asked < 25


def test_values_one_by_one():
    data = b' 12 , "x" , [1] '
    json_reader = JsonReader(0, len(data), Refused)

    def whole():
        values = []
        values.append((yield from json_reader.value()))
        assert (yield from json_reader.token(",;")) == ","
        values.append((yield from json_reader.value()))
        yield from json_reader.token(",")
        values.append((yield from json_reader.value()))
        yield from json_reader.finish()
        return values

    assert drive(whole(), data, 1)[0] == [12, "x", [1]]


def test_less_than_was_asked_for_is_truncated():
    parser = JsonReader(0, 100, Refused).members(lambda *_: None)
    next(parser)
    with pytest.raises(Refused, match="only 0 bytes could be read"):
        parser.send(b"")
