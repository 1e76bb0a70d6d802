"""Whom a change concerns."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from moorage_common.core.states import CopyState, InstanceState
from moorage_registry.core.changes import Change, Operation
from moorage_registry.core.records import ArtifactCopy, Instance
from moorage_registry.store.database import Transaction

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BASE = {"uid": "u", "created_at": NOW, "updated_at": NOW}
NOWHERE = Instance(
    **BASE, model_id="m", id="i", state=InstanceState.PENDING, state_at=NOW, last_worker_id="a"
)
SPREAD = replace(NOWHERE, state=InstanceState.STARTING, worker_id="a", subordinates=["c", "b"])


def concerned(now, before):
    return Change(operation=Operation.UPDATED, resource=now).workers(before)


def test_every_worker_of_an_instance_hears_of_its_changes():
    assert concerned(SPREAD, SPREAD) == ["a", "b", "c"]


def test_those_that_it_leaves_hear_of_just_that():
    assert concerned(NOWHERE, SPREAD) == ["a", "b", "c"]
    assert concerned(replace(SPREAD, worker_id="d", subordinates=[]), SPREAD) == ["a", "b", "c", "d"]


def test_those_that_it_comes_to_hear_of_it():
    assert concerned(SPREAD, NOWHERE) == ["a", "b", "c"]
    assert concerned(SPREAD, None) == ["a", "b", "c"]


def test_what_belongs_to_nobody_concerns_nobody():
    assert concerned(NOWHERE, NOWHERE) == []


def test_what_was_measured_concerns_nobody():
    assert Change(operation=Operation.UPDATED, resource=SPREAD, measured=True).workers(SPREAD) == []


@pytest.mark.parametrize("measured_first", [True, False])
def test_with_another_change_of_the_same_transaction_it_does(measured_first):
    transaction = Transaction(None, NOW)
    for measured in (measured_first, not measured_first):
        transaction.record(Change(operation=Operation.UPDATED, resource=SPREAD, measured=measured))
    assert [change.workers(SPREAD) for change in transaction.changes] == [["a", "b", "c"]]


def test_a_copy_concerns_its_worker():
    copy = ArtifactCopy(**BASE, artifact_id="x", worker_id="w", state=CopyState.ABSENT, size_bytes=1)
    assert concerned(copy, None) == ["w"]
