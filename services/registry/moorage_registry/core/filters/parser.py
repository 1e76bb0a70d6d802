"""Reads the text of a filter."""

import re
from typing import cast

from lark import Lark, Token, Transformer, Tree, UnexpectedInput, v_args

from moorage_registry.core.filters.grammar import GRAMMAR
from moorage_registry.core.filters.mistakes import explain
from moorage_registry.core.filters.problems import wrong_filter
from moorage_registry.core.filters.syntax import And, Comparator, Expression, Not, Or, Restriction, Value

MAX_LENGTH = 4096
"""Characters of a filter at most."""
MAX_COMPARISONS = 100
MAX_DEPTH = 20
"""How deep AND, OR and NOT may be nested at most."""

Filter = Expression[Restriction]

_ESCAPABLE = "\\\"'*"
_PART = re.compile(r"\\(?P<escaped>.)|(?P<plain>[^\\])", re.DOTALL)


def parse_filter(text: str) -> Filter | None:
    """Returns what a filter says; None for the empty one, which everything satisfies.

    Raises:
        InvalidArgument: It is no filter (FILTER_INVALID); the violation says where and why.
    """
    if len(text) > MAX_LENGTH:
        raise wrong_filter(MAX_LENGTH + 1, f"a filter has at most {MAX_LENGTH} characters")
    if "\0" in text:
        raise wrong_filter(text.index("\0") + 1, "a filter has no NUL character")
    if not text or text.isspace():
        return None
    try:
        parsed = cast(Filter, _PARSER.parse(text))
    except UnexpectedInput as error:
        raise explain(text, error) from None
    _check_bounds(parsed)
    return parsed


@v_args(inline=True)
class _ToSyntax(Transformer[Token, Filter]):
    """Turns lark's tree into ours."""

    def start(self, expression: Filter) -> Filter:
        return expression

    def conjunction(self, *operands: Filter) -> Filter:
        return And(operands)

    def disjunction(self, *operands: Filter) -> Filter:
        return Or(operands)

    def negation(self, _: Token, operand: Filter) -> Filter:
        return Not(operand)

    def restriction(self, member: "Tree[Token]", comparator: Token, value: Token) -> Filter:
        names = [_name(token) for token in member.children if isinstance(token, Token)]
        return Restriction(
            path=tuple(name for name, _ in names),
            position=names[0][1],
            comparator=Comparator(comparator),
            value=_value(value),
        )


_PARSER = Lark(GRAMMAR, parser="lalr", lexer="contextual", transformer=_ToSyntax())
"""Builds the syntax while it parses: deep nesting takes no deep recursion."""


def _check_bounds(parsed: Filter) -> None:
    waiting: list[tuple[Filter, int]] = [(parsed, 0)]
    comparisons = 0
    while waiting:
        node, depth = waiting.pop()
        match node:
            case Restriction(position=position):
                comparisons += 1
                if depth > MAX_DEPTH:
                    raise wrong_filter(position, f"AND, OR and NOT are nested more than {MAX_DEPTH} deep")
                if comparisons > MAX_COMPARISONS:
                    raise wrong_filter(position, f"a filter has at most {MAX_COMPARISONS} comparisons")
            case Not(operand=operand):
                waiting.append((operand, depth + 1))
            case And(operands=operands) | Or(operands=operands):
                # The last is pushed first: comparisons are met in the order in which they are written.
                waiting += [(operand, depth + 1) for operand in reversed(operands)]


def _start(token: Token) -> int:
    return (token.start_pos or 0) + 1


def _name(token: Token) -> tuple[str, int]:
    """Returns one part of a field's name, and where it starts."""
    characters = _characters(token)
    return "".join(character for character, _ in characters), _start(token)


def _value(token: Token) -> Value:
    characters = _characters(token)
    wild = ("*", False)
    open_start = characters[:1] == [wild]
    open_end = characters[open_start:][-1:] == [wild]
    inner = characters[open_start : len(characters) - open_end]
    if wild in inner:
        what = r"a * stands at the start or at the end of a value; in quotation marks, \* is the character"
        raise wrong_filter(_start(token), what)
    text = "".join(character for character, _ in inner)
    return Value(text=text, position=_start(token), open_start=open_start, open_end=open_end)


def _characters(token: Token) -> list[tuple[str, bool]]:
    """Returns the characters that a token stands for, and which of them were escaped."""
    if token.type != "STRING":
        return [(character, False) for character in token]
    characters = []
    for part in _PART.finditer(token[1:-1]):
        if part["escaped"] and part["escaped"] not in _ESCAPABLE:
            what = f"a backslash stands before one of {' '.join(_ESCAPABLE)}"
            raise wrong_filter(_start(token) + 1 + part.start(), what)
        characters.append((part["escaped"] or part["plain"], bool(part["escaped"])))
    return characters
