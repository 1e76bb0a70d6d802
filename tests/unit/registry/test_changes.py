"""Which node a change of an instance concerns."""

from datetime import UTC, datetime

from moorage_common.core.states import InstanceState
from moorage_registry.core.changes import Change, Operation
from moorage_registry.core.records import Instance
from moorage_registry.store.database import Transaction

NOW = datetime(2026, 1, 1, tzinfo=UTC)
INSTANCE = Instance(
    uid="u", created_at=NOW, updated_at=NOW, model_id="m", id="i", state=InstanceState.RUNNING, state_at=NOW,
    worker_id="w",
)  # fmt: skip


def change(**others):
    return Change(operation=Operation.UPDATED, resource=INSTANCE, **others)


def test_what_was_measured_concerns_no_node():
    assert change().worker_id == "w"
    assert change(measured=True).worker_id is None


def test_with_another_change_of_the_same_transaction_it_does():
    for first, second in ((change(), change(measured=True)), (change(measured=True), change())):
        transaction = Transaction(None, NOW)
        transaction.record(first)
        transaction.record(second)
        assert [each.worker_id for each in transaction.changes] == ["w"]
    transaction = Transaction(None, NOW)
    for _ in range(2):
        transaction.record(change(measured=True))
    assert [each.worker_id for each in transaction.changes] == [None]
