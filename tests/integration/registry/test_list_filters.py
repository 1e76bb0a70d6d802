"""Filters of all shapes on many rows: PostgreSQL finds what the same filter finds in Python."""

from dataclasses import asdict
from datetime import datetime
from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from listed_rows import BARE_DOWNLOAD, BARE_MODEL, insert_everything, many_instances
from sqlalchemy import delete, func, select

from moorage_common.core.errors import InvalidArgument
from moorage_registry.core.filters.checks import check
from moorage_registry.core.filters.conditions import Compares, IsPresent, Resembles
from moorage_registry.core.filters.parser import parse_filter
from moorage_registry.core.filters.syntax import And, Comparator, Not, Or
from moorage_registry.core.filters.types import Enumeration
from moorage_registry.core.pages import MAXIMUM_SIZE
from moorage_registry.store import listing, schema
from moorage_registry.store.lists import DOWNLOAD_LIST, INSTANCE_LIST, MODEL_LIST
from moorage_registry.store.tables import DOWNLOADS, INSTANCES, MODELS

ROWS = 150


def instance_fields(row):
    """What a filter sees of an instance; None is absent."""
    placement, explanation, error = row.placement, row.explanation or {}, row.error
    return {
        "name": f"models/{row.model_id}/instances/{row.id}",
        "uid": row.uid,
        "version": row.version,
        "create_time": row.created_at,
        "state": row.state.value,
        "state_time": row.state_at,
        "worker": f"workers/{row.worker_id}" if row.worker_id else "",
        "last_worker": f"workers/{row.last_worker_id}" if row.last_worker_id else "",
        "placement": placement,
        "placement.gpu_layers": None if placement is None else placement.get("gpu_layers", 0),
        "placement.total_layers": None if placement is None else placement.get("total_layers", 0),
        "explanation.verdict": explanation.get("verdict", "VERDICT_").removeprefix("VERDICT_") or None,
        "explanation.summary": explanation.get("summary", ""),
        "endpoint": row.endpoint,
        "error": error,
        "error.code": error and error["code"],
        "error.details.reason": [d["reason"] for d in (error or {}).get("details", [])],
        "restart_count": row.restart_count,
        "retiring": row.retiring,
    }


def holds(condition, row):
    """Whether a condition holds for the fields of one row: two values, never a third."""
    match condition:
        case And(operands):
            return all(holds(operand, row) for operand in operands)
        case Or(operands):
            return any(holds(operand, row) for operand in operands)
        case Not(operand):
            return not holds(operand, row)
        case IsPresent(subject) if subject.key is not None:
            return subject.key in row[subject.field]
        case IsPresent(subject):
            value = row[subject.field]
            return value is not None if isinstance(value, dict) and subject.field != "labels" else bool(value)
        case Compares(subject) | Resembles(subject):
            value = row[subject.field]
            if subject.key is not None:
                value = value.get(subject.key)
            elements = value if isinstance(value, list) else [value]
            return any(element is not None and passes(condition, element) for element in elements)


def passes(test, value):
    match test:
        case Compares(_, comparator, operand):
            return {
                Comparator.EQUAL: lambda: value == operand,
                Comparator.LESS: lambda: value < operand,
                Comparator.LESS_OR_EQUAL: lambda: value <= operand,
                Comparator.GREATER: lambda: value > operand,
                Comparator.GREATER_OR_EQUAL: lambda: value >= operand,
            }[comparator]()
        case Resembles(_, text, False, _):
            return value.startswith(text)
        case Resembles(_, text, _, False):
            return value.endswith(text)
        case Resembles(_, text):
            return text in value


def literal(value):
    """A value as it is written in a filter."""
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case datetime():
            return value.isoformat()
        case _:
            escaped = "".join(f"\\{c}" if c in "\\\"'*" else c for c in value)
            return f'"{escaped}"'


def opened(text, start, end, before, after):
    """Part of a text, with a wildcard where something was cut off or not."""
    part = literal(text[start : len(text) - end])[1:-1]
    return f'"{"*" * before}{part}{"*" * after}"'


def restrictions(fields, rows):
    """Filters of one comparison, with values that rows have, or nearly."""

    def of(field):
        type_ = fields[field]
        held = [row[field] for row in rows if row[field] not in (None, "", [], {})]
        flat = [element for value in held for element in (value if isinstance(value, list) else [value])]
        has = st.just(f"{field}:*")
        if field == "labels":
            keys = st.sampled_from(["zone", "a.b", 'q"', "none"])
            written = st.tuples(
                keys.map(literal),
                st.sampled_from(["=", "!=", "<", ">", ":"]),
                st.sampled_from(["a", "b", "", "%"]),
            )
            return has | keys.map(lambda k: f"labels:{literal(k)}") | written.map(
                lambda w: f"labels.{w[0]} {w[1]} {literal(w[2])}"
            )  # fmt: skip
        if not flat or isinstance(flat[0], dict):
            return has
        if isinstance(held[0], list):
            comparators = [":"]
        else:
            comparators = ["=", "!=", ":"] + (["<", "<=", ">", ">="] if type_.is_ordered else [])
        values = st.sampled_from(sorted(set(flat))).map(literal)
        if isinstance(flat[0], int) and not isinstance(flat[0], bool):
            values |= st.integers(-2, 9).map(literal)
        plain = st.tuples(st.sampled_from(comparators), values).map(
            lambda pair: f"{field} {pair[0]} {pair[1]}"
        )
        if not isinstance(flat[0], str) or isinstance(type_, Enumeration):
            return has | plain
        cut = st.tuples(
            st.sampled_from(sorted(set(flat))), st.integers(0, 4), st.integers(0, 4), st.booleans(), st.booleans()
        ).filter(lambda c: c[3] or c[4])  # fmt: skip
        wild = st.tuples(st.sampled_from([c for c in comparators if c in "!=:"]), cut)
        return has | plain | wild.map(lambda pair: f"{field} {pair[0]} {opened(*pair[1])}")

    return st.sampled_from(sorted(rows[0])).flatmap(of)


def filters(fields, rows):
    return st.recursive(
        restrictions(fields, rows),
        lambda inner: (
            st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({' AND '.join(parts)})")
            | st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({' OR '.join(parts)})")
            | inner.map(lambda part: f"NOT ({part})")
        ),
        max_leaves=6,
    )


def request(**fields):
    return SimpleNamespace(
        **({"page_size": MAXIMUM_SIZE, "page_token": "", "filter": "", "order_by": ""} | fields)
    )


async def agree(store, listed, rows, times):
    """Checks so many random filters against what they find in Python."""
    by_uid = dict(rows)
    strategy = filters(listed.fields.types, list(by_uid.values()))
    texts = []

    @settings(max_examples=times, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def collect(text):
        texts.append(text)

    collect()
    some = 0
    async with store.read() as connection:
        for text in texts:
            condition = check(parse_filter(text), listed.fields.types)
            expected = {uid for uid, row in by_uid.items() if holds(condition, row)}
            found, _ = await listing.page(connection, listed, request(filter=text), query="test")
            assert {record.uid for record in found} == expected, text
            some += 0 < len(expected) < len(by_uid)
    assert some > times / 4, "most filters should find some rows and not all"


async def test_filters_of_instances_find_what_they_find_in_python(store):
    records = list(many_instances(Random(7), ROWS))

    async def work(tx):
        await insert_everything(tx)
        await tx.execute(delete(schema.instances))
        await INSTANCES.insert(tx, records)

    await store.transact(work)
    await agree(store, INSTANCE_LIST, [(r.uid, instance_fields(r)) for r in records], 400)


async def test_filters_of_labels_and_lists_find_what_they_find_in_python(store):
    random = Random(3)
    keys = ["zone", "a.b", 'q"', "unused"]
    models, downloads = [], []
    for number in range(60):
        known = {
            "uid": f"uid-{number:03}",
            "id": f"m{number}",
            "labels": {
                key: random.choice(["", "a", "b", "%"]) for key in random.sample(keys, random.randrange(4))
            },
        }
        models.append(type(BARE_MODEL)(**{**_fields(BARE_MODEL), **known}))
        workers = sorted(random.sample(["gpu-1", "gpu-2", "tpu-1"], random.randrange(4)))
        known = {"uid": f"uid-{number:03}", "id": f"d{number}", "workers": workers, "source": f"s{number}"}
        downloads.append(type(BARE_DOWNLOAD)(**{**_fields(BARE_DOWNLOAD), **known}))

    async def work(tx):
        await MODELS.insert(tx, models)
        await DOWNLOADS.insert(tx, downloads)

    await store.transact(work)
    rows = [(m.uid, {"labels": dict(m.labels), "name": f"models/{m.id}"}) for m in models]
    await agree(store, MODEL_LIST, rows, 200)
    rows = [(d.uid, {"workers": [f"workers/{w}" for w in d.workers], "source": d.source}) for d in downloads]
    await agree(store, DOWNLOAD_LIST, rows, 200)


def _fields(record):
    return {name: getattr(record, name) for name in asdict(record)}


HOSTILE = [
    "'; DROP TABLE models; --",
    "' OR '1'='1",
    '" OR "1"="1',
    "\\'; SELECT 1; --",
    "%",
    "_",
    "%%",
    "a%b_c\\d",
    "$1",
    ":x",
    "%(x)s",
    "{}",
    "$$;$$",
    "\n",
    "\u2028",
    "𝄞",
]


@pytest.mark.parametrize("text", HOSTILE)
async def test_text_that_looks_like_sql_is_but_text(store, text):
    async def work(tx):
        await MODELS.insert(
            tx,
            [
                type(BARE_MODEL)(**{**_fields(BARE_MODEL), "source": f"x{text}y", "labels": {text: text}}),
                type(BARE_MODEL)(**{**_fields(BARE_MODEL), "uid": "other", "id": "other", "source": "xzzy"}),
            ],
        )

    await store.transact(work)
    value = literal(text)
    bare = value[1:-1]
    async with store.read() as connection:
        for filter_ in (
            f'source = "x{bare}*"',
            f'source = "*{bare}y"',
            f'source = "*{bare}*"',
            f'source = "x{bare}y"',
            f"labels.{value} = {value}",
            f"labels:{value}",
        ):
            found, _ = await listing.page(connection, MODEL_LIST, request(filter=filter_), query="test")
            assert [record.uid for record in found] == [BARE_MODEL.uid], filter_
        with pytest.raises(InvalidArgument):
            await listing.page(connection, MODEL_LIST, request(filter=f"{text} = 1"), query="test")
        with pytest.raises(InvalidArgument):
            await listing.page(connection, MODEL_LIST, request(order_by=f"x{text}"), query="test")
        assert await connection.scalar(select(func.count()).select_from(schema.models)) == 2


async def test_the_longest_and_deepest_filters_run(store):
    await store.transact(insert_everything)
    texts = [
        " AND ".join(['name = "models/*"'] * 100),
        " OR ".join(["error.details.reason:DISK_FULL"] * 100),
        "NOT (" * 20 + "labels.a = b" + ")" * 20,
        f'source = "*{"ü" * 4000}*"',
        f"labels.{'k' * 2000} = {'v' * 2000}",
    ]
    async with store.read() as connection:
        for text in texts:
            listed = INSTANCE_LIST if text.startswith(("error", "name")) else MODEL_LIST
            await listing.page(connection, listed, request(filter=text), query="test")
