"""The grammar of filters: what is said, and where a text stops being a filter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_common.core.errors import ErrorReason, InvalidArgument
from moorage_registry.core.filters.parser import MAX_COMPARISONS, MAX_DEPTH, MAX_LENGTH, parse_filter
from moorage_registry.core.filters.syntax import And, Comparator, Not, Or, Restriction, Value


def written(node) -> str:
    """The filter again, with every parenthesis."""
    match node:
        case And(operands):
            return f"({' & '.join(map(written, operands))})"
        case Or(operands):
            return f"({' | '.join(map(written, operands))})"
        case Not(operand):
            return f"!{written(operand)}"
        case Restriction(path, _, comparator, value):
            stars = "*" * value.open_start, "*" * value.open_end
            return f"{'/'.join(path)}{comparator}<{stars[0]}{value.text}{stars[1]}>"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = 1", "a=<1>"),
        ("a=1", "a=<1>"),
        ("a != x", "a!=<x>"),
        ("a<1 AND a<=2 AND a>3 AND a>=4", "(a<<1> & a<=<2> & a><3> & a>=<4>)"),
        ("a:b", "a:<b>"),
        ("a:*", "a:<*>"),
        ("a = 1 AND b = 2 OR c = 3", "(a=<1> & (b=<2> | c=<3>))"),
        ("a = 1 OR b = 2 AND c = 3", "((a=<1> | b=<2>) & c=<3>)"),
        ("(a = 1 AND b = 2) OR c = 3", "((a=<1> & b=<2>) | c=<3>)"),
        ("NOT a = 1", "!a=<1>"),
        ("-a = 1", "!a=<1>"),
        ("-(a = 1 OR b:*)", "!(a=<1> | b:<*>)"),
        ("NOT(a = 1)", "!a=<1>"),
        ("NOT a = 1 AND b = 2", "(!a=<1> & b=<2>)"),
        ("NOT a = 1 OR b = 2", "(!a=<1> | b=<2>)"),
        ("((((a = 1))))", "a=<1>"),
        ("  a\n=\t1 ", "a=<1>"),
        ("NOTE = 1", "NOTE=<1>"),
        ("ANDROID = ORANGE", "ANDROID=<ORANGE>"),
        ("labels.AND = 1", "labels/AND=<1>"),
        ("labels.topology/zone = a", "labels/topology/zone=<a>"),
        ('labels."x.y/z" = "q"', "labels/x.y/z=<q>"),
        ("labels.'it''s' = 1", None),
        (r"labels.'it\'s' = 1", "labels/it's=<1>"),
        ("name = workers/gpu-07", "name=<workers/gpu-07>"),
        ("t > 2026-01-31T00:00:00+01:00", "t><2026-01-31T00:00:00+01:00>"),
        ("source = hf:acme/tiny@main", "source=<hf:acme/tiny@main>"),
        ("a = -1", "a=<-1>"),
        ("a > 1.5e3", "a><1.5e3>"),
        ("größe = ü", "größe=<ü>"),
        ('a = "x y"', "a=<x y>"),
        ('a = "(AND) = , \'"', "a=<(AND) = , '>"),
        ("a = 'x \"y\"'", 'a=<x "y">'),
        (r'a = "\"\\\'\*"', "a=<\"\\'*>"),
        ('a = ""', "a=<>"),
        ('a = "AND"', "a=<AND>"),
        ('a = "x"AND b = "y"', "(a=<x> & b=<y>)"),
        ("a = x*", "a=<x*>"),
        ("a = *x", "a=<*x>"),
        ("a = *x*", "a=<*x*>"),
        ('a = "*x y*"', "a=<*x y*>"),
        (r'a = "\*x\*"', "a=<*x*>"),
        ("a = **", "a=<**>"),
    ],
)
def test_what_is_said(text, said):
    if said is None:
        with pytest.raises(InvalidArgument):
            parse_filter(text)
    else:
        assert written(parse_filter(text)) == said


def test_a_star_is_a_wildcard_only_where_it_is_not_escaped():
    assert parse_filter(r'a = "\*x\*"').value == Value("*x*", 5)
    assert parse_filter('a = "*x*"').value == Value("x", 5, open_start=True, open_end=True)
    assert parse_filter("a = *").value == Value("", 5, open_start=True, open_end=False)


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_an_empty_filter_asks_nothing(text):
    assert parse_filter(text) is None


def test_places_are_characters_from_1():
    parsed = parse_filter("ä = 1 AND\n  b.c != x")
    assert parsed.operands[1] == Restriction(("b", "c"), 13, Comparator.NOT_EQUAL, Value("x", 20))


@pytest.mark.parametrize(
    ("text", "position", "what"),
    [
        ("hello", 6, "expected one of = != < <= > >= : after hello; a word alone is not searched for"),
        ('"hello world"', 14, "a word alone is not searched for"),
        ("a AND b = 1", 3, "after a;"),
        ("(((a", 5, "after a;"),
        ("f(x)", 2, "functions are not supported"),
        ("a = 1 AND f(x) = 2", 12, "functions are not supported"),
        ("a =", 4, "expected a value"),
        ("a == 1", 4, "expected a value"),
        ("a <> 1", 4, "expected a value"),
        ("a = AND", 5, "expected a value"),
        ("a = (b OR c)", 5, "to compare with several, repeat the field: a = 1 OR a = 2"),
        ("a = 1 b = 2", 7, "expected AND, OR or the end"),
        ("a = 1 ANDb = 2", 7, "expected AND, OR or the end"),
        ("a = 1, b = 2", 6, "goes into quotation marks"),
        ("a = it's", 7, "goes into quotation marks"),
        ("a = 1 AND", 10, "expected a field, NOT or ("),
        ("AND a = 1", 1, "expected a field, NOT or ("),
        ("a = 1 AND OR b = 1", 11, "expected a field, NOT or ("),
        ("NOT NOT a = 1", 5, "expected a field"),
        ("()", 2, "expected a field, NOT or ("),
        (".a = 1", 1, "expected a field"),
        ("a. = 1", 4, "expected a name after the dot"),
        ("a..b = 1", 3, "expected a name after the dot"),
        ("(a = 1", 7, "expected ), for a ( is still open"),
        ("a = 1)", 6, "this ) has no ("),
        ('a = "x', 5, "the quotation that starts here does not end"),
        ("'a", 1, "the quotation that starts here does not end"),
        (r'a = "x\"', 5, "the quotation that starts here does not end"),
        (r'a = "x\n"', 7, "a backslash stands before one of"),
        (r"a = x\*", 6, "expected AND, OR or the end"),
        ('a = "x*y"', 5, "a * stands at the start or at the end of a value"),
        ("a = ***", 5, "a * stands at the start or at the end"),
        ("a = 1 \0", 7, "NUL"),
    ],
)
def test_where_it_is_wrong(text, position, what):
    with pytest.raises(InvalidArgument) as caught:
        parse_filter(text)
    error = caught.value
    assert error.metadata == {"position": str(position)}
    assert error.reason is ErrorReason.FILTER_INVALID
    [violation] = error.violations
    assert violation.field == "filter"
    assert violation.description.startswith(f"at character {position}: ")
    assert what in violation.description


def test_a_filter_is_only_so_long():
    assert parse_filter(f'a = "{"x" * (MAX_LENGTH - 6)}"')
    with pytest.raises(InvalidArgument, match=f"at most {MAX_LENGTH} characters"):
        parse_filter(f'a = "{"x" * (MAX_LENGTH - 5)}"')


def test_a_filter_has_only_so_many_comparisons():
    assert parse_filter(" OR ".join(["a = 1"] * MAX_COMPARISONS))
    with pytest.raises(InvalidArgument, match=f"at most {MAX_COMPARISONS} comparisons") as caught:
        parse_filter(" OR ".join(["a = 1"] * (MAX_COMPARISONS + 1)))
    assert caught.value.metadata["position"] == str(MAX_COMPARISONS * len("a = 1 OR ") + 1)


def test_a_filter_is_nested_only_so_deep():
    assert parse_filter("-(" * MAX_DEPTH + "a = 1" + ")" * MAX_DEPTH)
    with pytest.raises(InvalidArgument, match=f"more than {MAX_DEPTH} deep"):
        parse_filter("-(" * (MAX_DEPTH + 1) + "a = 1" + ")" * (MAX_DEPTH + 1))


@pytest.mark.parametrize("opening", ["(", "-(", "NOT ("])
def test_nesting_to_the_limit_of_the_length_is_refused_or_read_and_breaks_nothing(opening):
    times = (MAX_LENGTH - 5) // (len(opening) + 1)
    text = opening * times + "a = 1" + ")" * times
    if opening == "(":
        assert written(parse_filter(text)) == "a=<1>"
    else:
        with pytest.raises(InvalidArgument, match="deep"):
            parse_filter(text)


pieces = st.sampled_from(
    ["a", "labels", ".", "=", "!=", "<", ">=", ":", "AND", "OR", "NOT", "-", "(", ")", '"', "'", "\\", "*", " ", "\n",
     "1",
     "READY", '"x y"', "ü", "\0", ",", "!", "2026-01-31T00:00:00Z", "workers/gpu-07", "\u2028", "𝄞"]
)  # fmt: skip


def refusal(call):
    """What a call is refused with, if it is."""
    try:
        call()
    except InvalidArgument as error:
        return error
    return None


@given(st.text(max_size=60) | st.lists(pieces, max_size=40).map("".join) | st.lists(pieces).map(" ".join))
def test_whatever_is_sent_is_read_or_refused_at_a_place_in_it(text):
    error = refusal(lambda: parse_filter(text))
    if error:
        assert error.reason is ErrorReason.FILTER_INVALID
        assert 1 <= int(error.metadata["position"]) <= len(text) + 1
        assert error.violations[0].field == "filter"


names = st.from_regex("[a-z_]{1,8}", fullmatch=True).filter(lambda name: name not in {"and", "or", "not"})
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@given(names, st.lists(texts, max_size=2), texts, st.booleans(), st.booleans())
def test_every_text_can_be_said_in_quotation_marks(name, keys, text, open_start, open_end):
    def quoted(plain, before="", after=""):
        inner = "".join(f"\\{c}" if c in "\\\"*'" else c for c in plain)
        return f'"{before}{inner}{after}"'

    value = quoted(text, "*" * open_start, "*" * open_end)
    member = ".".join([name, *map(quoted, keys)])
    parsed = parse_filter(f"{member} = {value}")
    assert parsed.path == (name, *keys)
    assert parsed.value.text == text
    if text:
        assert (parsed.value.open_start, parsed.value.open_end) == (open_start, open_end)
    else:
        assert parsed.value.is_open == (open_start or open_end)
