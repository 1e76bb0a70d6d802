"""Fields and values of a filter: looked up, read by their types, and refused with what there is instead."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.common.v1 import engine_pb2, error_reason_pb2, placement_pb2
from moorage.registry.v1 import artifact_pb2, instance_pb2, model_pb2, worker_pb2
from moorage_common.core.errors import ErrorReason, InvalidArgument
from moorage_common.core.names import INSTANCE, WORKER
from moorage_common.core.states import WorkerState
from moorage_common.rpc import enums
from moorage_registry.core.filters.checks import check
from moorage_registry.core.filters.conditions import Compares, IsPresent, Resembles, Subject
from moorage_registry.core.filters.ordering import MAX_FIELDS, Order, parse_order
from moorage_registry.core.filters.parser import parse_filter
from moorage_registry.core.filters.syntax import And, Comparator, Not
from moorage_registry.core.filters.types import (
    Boolean,
    Enumeration,
    Integer,
    ListOf,
    Map,
    Message,
    Name,
    Number,
    Text,
    Timestamp,
)

FIELDS = {
    "name": Name(INSTANCE),
    "source": Text(),
    "replicas": Integer(),
    "score": Number(),
    "cordoned": Boolean(),
    "create_time": Timestamp(),
    "state": Enumeration(WorkerState),
    "workers": ListOf(Name(WORKER)),
    "labels": Map(),
    "error": Message(),
    "error.code": Integer(),
}
EQUAL = Comparator.EQUAL


def checked(text):
    return check(parse_filter(text), FIELDS)


def equals(field, operand, key=None):
    return Compares(Subject(field, key), EQUAL, operand)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("source = x", equals("source", "x")),
        ("source:x", equals("source", "x")),
        ("source != x", Not(equals("source", "x"))),
        ("source:*", IsPresent(Subject("source"))),
        ("source = *", IsPresent(Subject("source"))),
        ("source != *", Not(IsPresent(Subject("source")))),
        ("source = *x", Resembles(Subject("source"), "x", open_start=True, open_end=False)),
        ("source != x*", Not(Resembles(Subject("source"), "x", open_start=False, open_end=True))),
        ("source >= x", Compares(Subject("source"), Comparator.GREATER_OR_EQUAL, "x")),
        ("replicas > -3", Compares(Subject("replicas"), Comparator.GREATER, -3)),
        ("replicas = +3", equals("replicas", 3)),
        ("replicas = 9223372036854775807", equals("replicas", (1 << 63) - 1)),
        ("replicas = -9223372036854775808", equals("replicas", -(1 << 63))),
        ('replicas = "12"', equals("replicas", 12)),
        ("score > -0.5", Compares(Subject("score"), Comparator.GREATER, -0.5)),
        ("score = 3", equals("score", 3.0)),
        ("score != 1e-3", Not(equals("score", 0.001))),
        ("score:*", IsPresent(Subject("score"))),
        ("cordoned = true", equals("cordoned", True)),
        ("cordoned != false", Not(equals("cordoned", False))),
        ("state = READY", equals("state", "READY")),
        ("state = WORKER_STATE_READY", equals("state", "READY")),
        ('create_time = "2026-01-31"', equals("create_time", datetime(2026, 1, 31, tzinfo=UTC))),
        (
            "create_time < 2026-01-31t01:30:00.25+01:30",
            Compares(Subject("create_time"), Comparator.LESS, datetime(2026, 1, 31, 0, 0, 0, 250_000, UTC)),
        ),
        ("name = models/a/instances/b", equals("name", "models/a/instances/b")),
        ('name = ""', equals("name", "")),
        ("name = models/*", Resembles(Subject("name"), "models/", open_start=False, open_end=True)),
        ("workers:workers/a", equals("workers", "workers/a")),
        ("workers:*", IsPresent(Subject("workers"))),
        ("workers:*-7", Resembles(Subject("workers"), "-7", open_start=True, open_end=False)),
        ("labels:zone", IsPresent(Subject("labels", "zone"))),
        ("labels:*", IsPresent(Subject("labels"))),
        ("labels.zone:*", IsPresent(Subject("labels", "zone"))),
        ("labels.zone = a", equals("labels", "a", "zone")),
        ('labels."a.b/c" = a', equals("labels", "a", "a.b/c")),
        ('labels."" = a', equals("labels", "a", "")),
        ("error:*", IsPresent(Subject("error"))),
        ("error.code = 8 AND -error:*", And((equals("error.code", 8), Not(IsPresent(Subject("error")))))),
    ],
)
def test_what_is_asked(text, condition):
    assert checked(text) == condition


@pytest.mark.parametrize(
    ("text", "position", "what"),
    [
        ("sorce = x", 1, "there is no field sorce; did you mean source? (there are: name, source, replicas"),
        ("state = READY AND stat = 1", 19, "did you mean state?"),
        ("zzz = 1", 1, "there is no field zzz (there are: name"),
        ("source.x = 1", 1, "there is no field source.x"),
        ("state.labels.x = 1", 1, "there is no field state.labels.x"),
        ("labels.a.b = x", 1, 'quote a key that has dots: labels."a.b"'),
        ("labels = x", 1, "labels.KEY ="),
        ("labels > x", 1, "a map is asked for a key"),
        ("labels:z*", 8, "a key has no *"),
        ("workers = workers/a", 1, "a list is asked with :"),
        ("workers:gpu-07", 9, 'expected a name, "workers/{worker}"'),
        ("state = FOO", 9, "'FOO' is wrong here: expected one of NOT_READY, READY, UNREACHABLE"),
        ("state = ready", 9, "one of NOT_READY, READY"),
        ("state = READ*", 9, "'READ*' is wrong here"),
        ("state < READY", 1, "< does not compare state"),
        ("cordoned = yes", 12, "expected true or false"),
        ("cordoned >= true", 1, ">= does not compare cordoned"),
        ("replicas > x", 12, "expected a whole number"),
        ("replicas > 1.5", 12, "expected a whole number"),
        ("score > .5", 9, "expected a number"),
        ("score > inf", 9, "expected a number"),
        ("score > 1e999", 9, "expected a number"),
        ("score > 0x1", 9, "expected a number"),
        ("replicas = 9223372036854775808", 12, "expected a whole number"),
        ("replicas = \u0661", 12, "expected a whole number"),
        ("replicas = *", 12, "expected a whole number"),
        ('create_time > "yesterday"', 15, 'expected a time such as "2026-01-31T00:00:00Z"'),
        ("create_time > 2026-02-30", 15, "expected a time"),
        ("create_time > 2026-01-31T00:00:00", 15, "expected a time"),
        ("create_time > 0001-01-01T00:00:00+14:00", 15, "expected a time"),
        ("create_time > 2026-01-31T25:00:00Z", 15, "expected a time"),
        ("source > x*", 10, "expected a value without *"),
        ("name = gpu-07", 8, 'expected a name, "models/{model}/instances/{instance}"'),
        ("name > models/a", 1, "> does not compare name"),
        ("error = x", 1, "expected :*, for whether it is there"),
        ("error:x", 1, "expected :*"),
    ],
)
def test_what_is_refused(text, position, what):
    with pytest.raises(InvalidArgument) as caught:
        checked(text)
    assert caught.value.reason is ErrorReason.FILTER_INVALID
    assert caught.value.metadata == {"position": str(position)}
    assert what in caught.value.violations[0].description


def refusal(call):
    """What a call is refused with, if it is."""
    try:
        call()
    except InvalidArgument as error:
        return error
    return None


@given(st.sampled_from(list(FIELDS)), st.sampled_from(list(Comparator)), st.text(max_size=30))
def test_whatever_a_field_is_compared_with_is_read_or_refused_in_its_place(field, comparator, value):
    text = f'{field} {comparator} "{value}"'
    error = refusal(lambda: checked(text))
    if error:
        assert error.reason is ErrorReason.FILTER_INVALID
        assert 1 <= int(error.metadata["position"]) <= len(text) + 1


def test_enums_are_called_as_in_the_protos():
    protos = (engine_pb2, error_reason_pb2, placement_pb2, artifact_pb2, instance_pb2, model_pb2, worker_pb2)
    descriptors = {
        name: enum for module in protos for name, enum in module.DESCRIPTOR.enum_types_by_name.items()
    }
    conversions = [value for value in vars(enums).values() if isinstance(value, enums.EnumMap)]
    assert conversions
    for conversion in conversions:
        domain = type(next(iter(conversion._to_proto)))
        members = {short: Enumeration(domain).prefix + short for short in domain}
        assert members == enums.value_names(descriptors[domain.__name__])


@pytest.mark.parametrize(
    ("text", "orders"),
    [
        ("", ()),
        ("  ", ()),
        ("replicas", (Order("replicas"),)),
        ("replicas desc", (Order("replicas", descending=True),)),
        (
            " replicas   desc ,source asc,name",
            (Order("replicas", descending=True), Order("source"), Order("name")),
        ),
        ("error.code", (Order("error.code"),)),
    ],
)
def test_orders(text, orders):
    assert parse_order(text, FIELDS) == orders


@pytest.mark.parametrize(
    ("text", "position", "what"),
    [
        ("replica", 1, "nothing is ordered by replica; did you mean replicas?"),
        ("source, sate desc", 9, "did you mean state?"),
        ("labels", 1, "nothing is ordered by labels (there are: name, source"),
        ("workers", 1, "nothing is ordered by workers"),
        ("error", 1, "nothing is ordered by error"),
        ("labels.zone", 1, "nothing is ordered by labels.zone"),
        ("source down", 8, "expected desc or a comma after source"),
        ("source DESC", 8, "expected desc"),
        ("source desc name", 13, "expected a comma or the end"),
        ("source,", 8, "expected a field"),
        (",source", 1, "expected a field"),
        ("source,,name", 8, "expected a field"),
        ("source, ,name", 9, "expected a field"),
        (",", 1, "expected a field"),
        ("source, source desc", 9, "source is there twice"),
        ("source;name", 1, "nothing is ordered by source;name"),
        ("s" * 513, 513, "at most 512 characters"),
    ],
)
def test_orders_that_are_refused(text, position, what):
    with pytest.raises(InvalidArgument) as caught:
        parse_order(text, FIELDS)
    error = caught.value
    assert error.reason is ErrorReason.ORDER_BY_INVALID
    assert error.metadata == {"position": str(position)}
    assert error.violations[0].field == "order_by"
    assert what in error.violations[0].description


def test_an_order_has_only_so_many_fields():
    fields = {f"f{number}": Integer() for number in range(MAX_FIELDS + 1)}
    assert len(parse_order(",".join(list(fields)[:MAX_FIELDS]), fields)) == MAX_FIELDS
    with pytest.raises(InvalidArgument, match=f"at most {MAX_FIELDS} fields"):
        parse_order(",".join(fields), fields)


@given(st.text(alphabet="source, descnam\0ü", max_size=40) | st.text(max_size=40))
def test_whatever_order_is_sent_is_read_or_refused_at_a_place_in_it(text):
    error = refusal(lambda: parse_order(text, FIELDS))
    if error:
        assert error.reason is ErrorReason.ORDER_BY_INVALID
        assert 1 <= int(error.metadata["position"]) <= len(text) + 1
