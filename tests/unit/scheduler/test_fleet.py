"""The fleet takes in changes one by one, and its snapshots do not change with it."""

from dataclasses import replace

import numpy as np

from moorage_common.core.states import WorkerState
from moorage_scheduler.core.cluster import RAM, Tenant
from moorage_scheduler.core.snapshot import column_names


def row(snapshot, name, column):
    return getattr(snapshot.columns, column)[snapshot.rows.slots[name]].tolist()


def test_capacity_claims_and_foreign_use_give_what_is_available(paper):
    worker = paper.Worker(name="w", ram=100, gpus=(50, 60), foreign=((RAM, 5), ("w/gpu1", 7)))
    snapshot = paper.snapshot(worker, tenants=[("m", "w", {RAM: 10, "w/gpu1": 20})])
    available = snapshot.available[snapshot.rows.slots["w"]]
    assert available[:3].tolist() == [85, 50, 33]


def test_available_is_never_negative(paper):
    snapshot = paper.snapshot(paper.Worker(name="w", ram=100, foreign=((RAM, 500),)))
    assert snapshot.available.min() == 0


def test_a_claim_that_arrives_before_its_worker_counts_once_the_worker_is_known(paper):
    fleet = paper.fleet()
    fleet.put_tenant("i", Tenant(model="m", worker="w", claims={("w", RAM): 10}))
    fleet.put_worker(*paper.Worker(name="w", ram=100).parts())
    assert row(fleet.snapshot(), "w", "claimed")[0] == 10
    fleet.remove_worker("w")
    fleet.put_worker(*paper.Worker(name="w", ram=100).parts())
    assert row(fleet.snapshot(), "w", "claimed")[0] == 10


def test_a_tenant_that_changes_or_leaves_is_not_counted_twice(paper):
    fleet = paper.fleet(paper.Worker(name="w", gpus=(50,)), paper.Worker(name="x"))
    fleet.put_tenant("i", Tenant(model="m", worker="w"))
    assert row(fleet.snapshot(), "w", "tenants")[:2] == [1, 0]
    fleet.put_tenant("i", Tenant(model="m", worker="w", claims={("w", RAM): 10, ("w", "w/gpu0"): 20}))
    snapshot = fleet.snapshot()
    assert row(snapshot, "w", "tenants")[:2] == [1, 1]
    assert snapshot.replicas == {"m": {("w", RAM): 1, ("w", "w/gpu0"): 1}}
    fleet.put_tenant("i", Tenant(model="m", worker="x", claims={("x", RAM): 10}))
    snapshot = fleet.snapshot()
    assert row(snapshot, "w", "claimed") == [0, 0]
    assert row(snapshot, "x", "claimed") == [10, 0]
    fleet.remove_tenant("i")
    assert fleet.snapshot().replicas == {}
    assert fleet.snapshot().columns.tenants.sum() == 0


def test_a_snapshot_keeps_its_numbers_while_the_fleet_goes_on(paper):
    worker = paper.Worker(name="w", ram=100, gpus=(50,))
    fleet = paper.fleet(worker, tenants=[("m", "w", {RAM: 1})], copies=[("a", "w")])
    before = fleet.snapshot()
    frozen = {name: getattr(before.columns, name).copy() for name in column_names()}
    fleet.put_worker(*replace(worker, ram=70, state=WorkerState.UNREACHABLE, cordoned=True).parts())
    fleet.put_worker(*paper.Worker(name="x", gpus=(1, 2, 3)).parts())
    fleet.put_tenant("new", Tenant(model="m", worker="w", claims={("w", RAM): 9}))
    fleet.remove_copy("a", "w")
    fleet.remove_worker("w")
    assert all(np.array_equal(getattr(before.columns, name), frozen[name]) for name in column_names())
    assert before.copies == {"a": frozenset({"w"})}
    assert before.replicas == {"m": {("w", RAM): 1}}
    assert before.rows.at(before.rows.slots["w"]).name == "w"


def test_a_heartbeat_copies_only_the_column_that_it_changes(paper):
    worker = paper.Worker(name="w", gpus=(50,))
    fleet = paper.fleet(worker)
    before = fleet.snapshot()
    fleet.put_worker(*worker.parts())
    same = fleet.snapshot()
    assert all(getattr(same.columns, name) is getattr(before.columns, name) for name in column_names())
    fleet.put_worker(*replace(worker, foreign=((RAM, 5),)).parts())
    after = fleet.snapshot()
    changed = [n for n in column_names() if getattr(after.columns, n) is not getattr(before.columns, n)]
    assert changed == ["foreign"]
    assert after.rows is before.rows


def test_a_slot_is_used_again_with_nothing_of_the_worker_before(paper):
    old = paper.Worker(name="old", gpus=(50, 60), cordoned=True, foreign=((RAM, 9),), unified=False)
    fleet = paper.fleet(old, tenants=[("m", "old", {RAM: 3})])
    slot = fleet.snapshot().rows.slots["old"]
    fleet.remove_worker("old")
    assert not fleet.snapshot().columns.present.any()
    fleet.put_worker(*paper.Worker(name="new", ram=10).parts())
    snapshot = fleet.snapshot()
    assert snapshot.rows.slots == {"new": slot}
    assert row(snapshot, "new", "capacity") == [10, 0, 0]
    assert row(snapshot, "new", "claimed") == [0, 0, 0]
    assert row(snapshot, "new", "foreign") == [0, 0, 0]
    assert row(snapshot, "new", "kinds") == [0, 0, 0]
    assert not row(snapshot, "new", "cordoned")


def test_a_worker_that_loses_a_card_keeps_the_claims_on_the_others(paper):
    worker = paper.Worker(name="w", gpus=(50, 60))
    fleet = paper.fleet(worker, tenants=[("m", "w", {"w/gpu0": 10, "w/gpu1": 20})])
    fleet.put_worker(*replace(worker, gpus=(50,)).parts())
    snapshot = fleet.snapshot()
    assert row(snapshot, "w", "claimed") == [0, 10, 0]
    assert row(snapshot, "w", "capacity")[2] == 0


def test_a_fleet_grows_past_its_first_columns(paper):
    fleet = paper.fleet(*(paper.Worker(name=f"w{i}", ram=i, gpus=(1,) * (i % 5)) for i in range(100)))
    snapshot = fleet.snapshot()
    assert snapshot.columns.present.sum() == 100
    assert [row(snapshot, f"w{i}", "capacity")[0] for i in range(100)] == list(range(100))


def test_columns_of_a_snapshot_refuse_to_be_written(paper):
    snapshot = paper.snapshot(paper.Worker(name="w"))
    assert not any(getattr(snapshot.columns, name).flags.writeable for name in column_names())


def test_with_tenant_answers_a_new_snapshot_and_leaves_the_old_one(paper):
    before = paper.snapshot(paper.Worker(name="w", ram=100, gpus=(50,)))
    tenant = Tenant(model="m", worker="w", claims={("w", RAM): 30, ("w", "w/gpu0"): 20})
    after = before.with_tenant("m/instances/i", tenant)
    assert row(after, "w", "claimed")[:2] == [30, 20]
    assert row(after, "w", "tenants")[:2] == [1, 1]
    assert after.replicas == {"m": {("w", RAM): 1, ("w", "w/gpu0"): 1}}
    assert before.columns.claimed.sum() == 0
    assert before.replicas == {}


class TestWhatCouldHelp:
    """An instance that found no place is tried again only after a change that could help it."""

    def test_a_new_worker_helps_if_it_can_be_used(self, paper):
        fleet = paper.fleet()
        assert fleet.put_worker(*paper.Worker(name="a").parts())
        assert not fleet.put_worker(*paper.Worker(name="b", cordoned=True).parts())
        assert not fleet.put_worker(*paper.Worker(name="c", state=WorkerState.NOT_READY).parts())

    def test_a_worker_that_comes_back_helps_and_one_that_goes_does_not(self, paper):
        worker = paper.Worker(name="w")
        fleet = paper.fleet(worker)
        assert not fleet.put_worker(*worker.parts())
        assert not fleet.put_worker(*replace(worker, state=WorkerState.UNREACHABLE).parts())
        assert fleet.put_worker(*worker.parts())
        assert not fleet.put_worker(*replace(worker, cordoned=True).parts())
        assert fleet.put_worker(*worker.parts())

    def test_more_room_helps_and_the_noise_of_measurements_does_not(self, paper):
        worker = paper.Worker(name="w", foreign=((RAM, paper.GIB + 4096),))
        fleet = paper.fleet(worker)
        assert not fleet.put_worker(*replace(worker, foreign=((RAM, paper.GIB),)).parts())
        assert not fleet.put_worker(*replace(worker, foreign=((RAM, 2 * paper.GIB),)).parts())
        assert fleet.put_worker(*replace(worker, foreign=((RAM, 0),)).parts())
        assert fleet.put_worker(*replace(worker, ram=65 * paper.GIB, foreign=()).parts())

    def test_a_label_helps(self, paper):
        worker = paper.Worker(name="w")
        assert paper.fleet(worker).put_worker(*replace(worker, labels=(("zone", "a"),)).parts())

    def test_a_claim_that_ends_helps_and_a_new_one_does_not(self, paper):
        fleet = paper.fleet(paper.Worker(name="w"))
        assert not fleet.put_tenant("i", Tenant(model="m", worker="w"))
        assert not fleet.put_tenant("i", Tenant(model="m", worker="w", claims={("w", RAM): 5}))
        assert fleet.remove_tenant("i")
        assert not fleet.remove_tenant("i")

    def test_a_nomination_that_ends_frees_nothing(self, paper):
        fleet = paper.fleet(paper.Worker(name="w"))
        fleet.put_tenant("i", Tenant(model="m", worker="w"))
        assert not fleet.remove_tenant("i")
