"""What a watcher wants to hear of, by kind and by name."""

import pytest

from moorage_common.core.errors import InvalidArgument
from moorage_registry.core.records import Kind
from moorage_registry.watch.selection import Selection


def test_without_wishes_everything_is_wanted():
    selection = Selection([], [])
    assert selection.kinds == tuple(Kind)
    assert selection.has(Kind.WORKER, "workers/a")


def test_kinds_and_names_must_both_hold():
    selection = Selection([Kind.MODEL], ["models/a", "workers/a"])
    assert selection.kinds == (Kind.MODEL,)
    assert selection.has(Kind.MODEL, "models/a")
    assert not selection.has(Kind.MODEL, "models/b")
    assert not selection.has(Kind.WORKER, "workers/a")


@pytest.mark.parametrize(
    ("wish", "name", "wanted"),
    [
        ("models/-", "models/a", True),
        ("models/-", "models/a/instances/b", False),
        ("models/a/instances/-", "models/a/instances/b", True),
        ("models/a/instances/-", "models/b/instances/b", False),
        ("models/-/instances/b", "models/a/instances/b", True),
        ("artifacts/a.b/copies/-", "artifacts/axb/copies/w", False),
        ("artifacts/-/copies/w", "artifacts/a/copies/w", True),
    ],
)
def test_a_hyphen_stands_for_any_one_id(wish, name, wanted):
    kind = {1: Kind.MODEL, 3: Kind.INSTANCE}[name.count("/")]
    if name.startswith("artifacts"):
        kind = Kind.ARTIFACT_COPY
    assert Selection([], [wish]).has(kind, name) is wanted


@pytest.mark.parametrize(
    "name", ["", "models", "models/", "models/a/b", "models/A", "models/a/instances", "x/y"]
)
def test_what_no_resource_can_be_called_is_refused(name):
    with pytest.raises(InvalidArgument, match="no name of a resource"):
        Selection([], [name])
