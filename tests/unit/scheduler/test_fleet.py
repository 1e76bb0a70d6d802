"""The fleet takes in changes one by one, and its snapshots do not change with it."""

from dataclasses import replace

import numpy as np
import pytest

from moorage_common.core.states import WorkerState
from moorage_scheduler.core.cluster import RAM, Tenant
from moorage_scheduler.core.snapshot import column_names


def row(snapshot, name, column):
    return getattr(snapshot.columns, column)[snapshot.rows.slots[name]].tolist()


@pytest.mark.rule("available")
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


@pytest.mark.rule("event-driven")
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


def team(name="models/v", *, exclusive=True, **claims):
    """An instance that w leads and x follows."""
    return Tenant(
        model=name,
        worker="w",
        subordinates=("x",),
        exclusive=exclusive,
        claims={(worker, pool): size for worker, pools in claims.items() for pool, size in pools.items()},
    )


HELD = {"w": {RAM: 10, "w/gpu0": 20}, "x": {"x/gpu0": 30}}


class TestSeveralWorkers:
    """An instance that several workers serve counts on each of them, with what it holds there."""

    def fleet(self, paper, **others):
        return paper.fleet(*(paper.Worker(name=n, ram=100, gpus=(50,)) for n in "wxy"), **others)

    @pytest.mark.rule("claims-count")
    def test_claims_count_on_every_member(self, paper):
        snapshot = self.fleet(paper, tenants=[team(**HELD)]).snapshot()
        assert row(snapshot, "w", "claimed")[:2] == [10, 20]
        assert row(snapshot, "x", "claimed")[:2] == [0, 30]
        assert row(snapshot, "w", "tenants")[:2] == row(snapshot, "x", "tenants")[:2] == [1, 1]
        assert row(snapshot, "y", "tenants")[:2] == [0, 0]
        assert snapshot.replicas["models/v"] == {
            ("w", RAM): 1, ("w", "w/gpu0"): 1, ("x", RAM): 1, ("x", "x/gpu0"): 1,
        }  # fmt: skip

    def test_a_member_that_is_not_known_yet_gets_its_part_when_it_is(self, paper):
        fleet = paper.fleet(paper.Worker(name="w", ram=100, gpus=(50,)))
        fleet.put_tenant("i", team(**HELD))
        fleet.put_worker(*paper.Worker(name="x", ram=100, gpus=(50,)).parts())
        snapshot = fleet.snapshot()
        assert row(snapshot, "x", "claimed")[:2] == [0, 30]
        assert row(snapshot, "x", "exclusive") == 1
        fleet.remove_worker("x")
        fleet.remove_tenant("i")
        fleet.put_worker(*paper.Worker(name="x", ram=100, gpus=(50,)).parts())
        assert row(fleet.snapshot(), "x", "exclusive") == 0

    def test_a_member_that_leaves_is_free(self, paper):
        fleet = self.fleet(paper)
        fleet.put_tenant("i", team(**HELD))
        alone = replace(team(w=HELD["w"]), subordinates=(), exclusive=False)
        assert fleet.put_tenant("i", alone), "what waits may hope for the worker that left"
        snapshot = fleet.snapshot()
        assert row(snapshot, "x", "claimed")[:2] == [0, 0]
        assert row(snapshot, "x", "tenants")[:2] == [0, 0]
        assert row(snapshot, "w", "exclusive") == row(snapshot, "x", "exclusive") == 0
        assert snapshot.exclusives == {}

    def test_with_tenant_answers_the_same_as_taking_it_in(self, paper):
        for tenant in (team(**HELD), team(exclusive=False, **HELD), team()):
            fleet = self.fleet(paper, tenants=[("models/v", "x", {RAM: 1}), ("m", "w", {"w/gpu0": 2})])
            before = fleet.snapshot()
            kept = {name: getattr(before.columns, name).copy() for name in column_names()}
            assumed = before.with_tenant("i", tenant)
            assert all(np.array_equal(getattr(before.columns, name), kept[name]) for name in column_names())
            assert "i" not in before.exclusives.values()
            fleet.put_tenant("i", tenant)
            bound = fleet.snapshot()
            for name in column_names():
                assert np.array_equal(getattr(assumed.columns, name), getattr(bound.columns, name)), name
            assert (assumed.replicas, assumed.exclusives) == (bound.replicas, bound.exclusives)

    def test_with_tenant_of_one_memory_adds_up_both_parts_there(self, paper):
        mac = paper.Worker(name="mac", ram=100, gpus=(1,), unified=True)
        before = paper.snapshot(paper.Worker(name="w", ram=100), mac)
        tenant = Tenant(model="m", worker="w", subordinates=("mac",), claims={("mac", RAM): 40})
        after = before.with_tenant("i", tenant)
        assert row(after, "mac", "claimed")[0] == 40
        assert after.available[after.rows.slots["mac"], 0] == 60


class TestExclusives:
    """Which workers take part in a distributed vLLM instance, and in which."""

    def fleet(self, paper):
        return paper.fleet(*(paper.Worker(name=n, ram=100) for n in "wxy"))

    def test_every_member_does_and_is_told_by_the_instances_name(self, paper):
        fleet = self.fleet(paper)
        fleet.put_tenant("models/v/instances/0", team())
        snapshot = fleet.snapshot()
        assert [row(snapshot, name, "exclusive") for name in "wxy"] == [1, 1, 0]
        assert snapshot.exclusives == dict.fromkeys("wx", "models/v/instances/0")

    @pytest.mark.rule("others-do-not-count")
    def test_others_do_not(self, paper):
        fleet = self.fleet(paper)
        fleet.put_tenant("one-worker", Tenant(model="m", worker="w", claims={("w", RAM): 1}))
        fleet.put_tenant("another-engine", team(exclusive=False))
        snapshot = fleet.snapshot()
        assert snapshot.columns.exclusive.sum() == 0
        assert snapshot.exclusives == {}

    def test_a_snapshot_keeps_its_own(self, paper):
        fleet = self.fleet(paper)
        fleet.put_tenant("a", team())
        before = fleet.snapshot()
        fleet.remove_tenant("a")
        fleet.put_tenant("b", replace(team(), worker="y"))
        assert before.exclusives == {"w": "a", "x": "a"}
        assert fleet.snapshot().exclusives == {"y": "b", "x": "b"}

    def test_of_two_the_one_that_is_left_is_told_whoever_ends_first(self, paper):
        """The registry lets no two through; for a moment events may say so all the same."""
        for ended, left in (("a", "b"), ("b", "a")):
            fleet = self.fleet(paper)
            fleet.put_tenant("a", team())
            fleet.put_tenant("b", replace(team(), subordinates=("y",)))
            assert row(fleet.snapshot(), "w", "exclusive") == 2
            fleet.remove_tenant(ended)
            snapshot = fleet.snapshot()
            assert row(snapshot, "w", "exclusive") == 1
            assert snapshot.exclusives["w"] == left
            assert len(snapshot.exclusives) == 2
            fleet.remove_tenant(left)
            assert fleet.snapshot().exclusives == {}
            assert fleet.snapshot().columns.exclusive.sum() == 0

    def test_of_two_the_same_is_told_in_whatever_order_they_came(self, paper):
        told = []
        for order in ("ab", "ba"):
            fleet = self.fleet(paper)
            for name in order:
                fleet.put_tenant(name, team())
            told.append(dict(fleet.snapshot().exclusives))
        assert told[0] == told[1]

    def test_an_update_of_the_same_instance_counts_once(self, paper):
        fleet = self.fleet(paper)
        fleet.put_tenant("a", team())
        fleet.put_tenant("a", team(w={RAM: 5}))
        assert row(fleet.snapshot(), "w", "exclusive") == 1
        fleet.put_tenant("a", replace(team(), worker="y"))
        assert fleet.snapshot().exclusives == {"y": "a", "x": "a"}

    def test_a_worker_that_comes_back_still_takes_part(self, paper):
        fleet = self.fleet(paper)
        fleet.put_tenant("a", team())
        fleet.remove_worker("x")
        fleet.put_worker(*paper.Worker(name="x", ram=100).parts())
        assert row(fleet.snapshot(), "x", "exclusive") == 1

    @pytest.mark.rule("event-driven")
    def test_its_end_is_hope_for_what_waits(self, paper):
        fleet = self.fleet(paper)
        assert not fleet.put_tenant("a", team(w={RAM: 5}))
        assert fleet.remove_tenant("a")

    def test_one_that_ends_its_exclusivity_and_stays_is_hope_as_well(self, paper):
        fleet = self.fleet(paper)
        fleet.put_tenant("a", team(w={RAM: 5}))
        assert fleet.put_tenant("a", team(exclusive=False, w={RAM: 5}))
