"""Looks up the fields that a filter names, and reads its values by their types."""

from collections.abc import Mapping

from moorage_common.core.errors import InvalidArgument
from moorage_registry.core.filters.conditions import Compares, Condition, IsPresent, Resembles, Subject, Test
from moorage_registry.core.filters.parser import Filter
from moorage_registry.core.filters.problems import shortened, wrong_filter
from moorage_registry.core.filters.syntax import And, Comparator, Not, Or, Restriction, Value
from moorage_registry.core.filters.types import FieldType, ListOf, Map, Message, Scalar, Text, WrongValue

Fields = Mapping[str, FieldType]
"""The fields of a list, by their full names."""

_TEXT = Text()


def check(filter_: Filter, fields: Fields) -> Condition:
    """Returns what a filter asks of the rows of a list.

    Raises:
        InvalidArgument: A field or a value is wrong (FILTER_INVALID); the violation says where and why.
    """
    match filter_:
        case And(operands=operands):
            return And(tuple(check(operand, fields) for operand in operands))
        case Or(operands=operands):
            return Or(tuple(check(operand, fields) for operand in operands))
        case Not(operand=operand):
            return Not(check(operand, fields))
        case Restriction():
            return _check_restriction(filter_, fields)


def _check_restriction(restriction: Restriction, fields: Fields) -> Condition:
    subject, kind = _look_up(restriction, fields)
    comparator, value = restriction.comparator, restriction.value
    if comparator is Comparator.HAS and value.is_anything:
        return IsPresent(subject)
    if isinstance(kind, Map):
        return _has_key(restriction)
    if isinstance(kind, ListOf) and comparator is not Comparator.HAS:
        raise _wrong(restriction, "a list is asked with : whether it has an element")
    test = _test(restriction, subject, kind)
    return Not(test) if comparator is Comparator.NOT_EQUAL else test


def _look_up(restriction: Restriction, fields: Fields) -> tuple[Subject, FieldType]:
    path = restriction.path
    name = ".".join(path)
    if name in fields:
        return Subject(name), fields[name]
    for length in range(1, len(path)):
        field = ".".join(path[:length])
        if isinstance(fields.get(field), Map):
            if length + 1 < len(path):
                key = '"' + ".".join(path[length:]) + '"'
                raise wrong_filter(
                    restriction.position, f"quote a key that has dots: {field}.{shortened(key)}"
                )
            return Subject(field, key=path[-1]), _TEXT
    what = f"there is no field {shortened(name)}"
    raise wrong_filter(restriction.position, what, known=list(fields), given=name)


def _has_key(restriction: Restriction) -> Test:
    if restriction.comparator is not Comparator.HAS:
        name = ".".join(restriction.path)
        raise _wrong(
            restriction, f'a map is asked for a key: {name}.KEY {restriction.comparator} "…", or {name}:KEY'
        )
    if restriction.value.is_open:
        raise wrong_filter(
            restriction.value.position, "a key has no *; in quotation marks, \\* is the character"
        )
    return IsPresent(Subject(".".join(restriction.path), key=restriction.value.text))


def _test(restriction: Restriction, subject: Subject, kind: FieldType) -> Test:
    comparator, value = _plain(restriction.comparator), restriction.value
    element = kind.element if isinstance(kind, ListOf) else kind
    if isinstance(element, Message):
        raise _wrong(restriction, f"expected :{element}")
    if comparator is not Comparator.EQUAL and not element.is_ordered:
        raise _wrong(restriction, f"{comparator} does not compare {shortened(subject.field)}; = and != do")
    operand = _read(element, value)
    if not value.is_open:
        return Compares(subject, comparator, operand)
    if comparator is not Comparator.EQUAL:
        raise wrong_filter(value.position, f"expected a value without *, which {comparator} does not know")
    if value.is_anything:
        return IsPresent(subject)
    return Resembles(subject, value.text, open_start=value.open_start, open_end=value.open_end)


def _plain(comparator: Comparator) -> Comparator:
    """What has one value has just that; and what does not equal is the opposite of what does."""
    return Comparator.EQUAL if comparator in {Comparator.HAS, Comparator.NOT_EQUAL} else comparator


def _read(kind: FieldType, value: Value) -> Scalar:
    try:
        if kind.takes_wildcards or not value.is_open:
            return kind.read(value)
    except WrongValue:
        pass
    written = f"{'*' * value.open_start}{value.text}{'*' * value.open_end}"
    raise wrong_filter(value.position, f"{shortened(written)!r} is wrong here: expected {kind}")


def _wrong(restriction: Restriction, what: str) -> InvalidArgument:
    return wrong_filter(restriction.position, what)
