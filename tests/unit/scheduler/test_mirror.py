"""What the scheduler knows, from what the cache shows."""

import pytest

from moorage.common.v1 import placement_pb2
from moorage.registry.v1 import instance_pb2, model_pb2
from moorage_common.core.placement import PlacementStrategy
from moorage_common.core.states import EngineKind
from moorage_scheduler.mirror import Mirror

GIB = 2**30


@pytest.fixture
def mirror():
    return Mirror()


@pytest.fixture
def hope(mirror, records):
    """Takes in the records, and tells whether something changed that could help."""

    def hope():
        mirror.sync(records.snapshot())
        return mirror.take_hope()

    return hope


def bound(size=GIB, worker="workers/w"):
    claims = [placement_pb2.MemoryClaim(worker=worker, pool="ram", size_bytes=size)]
    return {"worker": worker, "placement": placement_pb2.Placement(worker=worker, claims=claims)}


def newer(instance, records, **fields):
    """The instance as the registry would answer it after a change that is still to come as an event."""
    records.versions += 1
    after = instance_pb2.Instance()
    after.CopyFrom(instance)
    after.MergeFrom(instance_pb2.Instance(version=records.versions, etag="newer", **fields))
    return after


class TestFleet:
    def test_workers_come_change_and_go(self, mirror, records, hope):
        records.worker(ram=GIB)
        hope()
        assert mirror.snapshot().available.max() == GIB
        records.worker(ram=2 * GIB)
        hope()
        assert mirror.snapshot().available.max() == 2 * GIB
        records.drop("workers", "workers/w")
        hope()
        assert not mirror.snapshot().columns.present.any()

    def test_claims_are_those_of_instances_while_they_hold_them(self, mirror, records, hope):
        records.worker(ram=4 * GIB)
        records.instance(1, state="RUNNING", **bound(GIB))
        records.instance(2, state="STOPPING", **bound(2 * GIB))
        hope()
        assert mirror.snapshot().columns.claimed.sum() == 3 * GIB
        records.instance(2, state="STOPPED")
        hope()
        assert mirror.snapshot().columns.claimed.sum() == GIB
        records.drop("instances", "models/m/instances/1")
        hope()
        assert mirror.snapshot().columns.claimed.sum() == 0

    def test_only_ready_copies_count(self, mirror, records, hope):
        records.copy(state="VERIFYING")
        hope()
        assert mirror.snapshot().copies == {}
        records.copy(state="READY")
        hope()
        assert mirror.snapshot().copies == {"artifacts/a": {"workers/w"}}
        records.copy(state="FETCHING")
        hope()
        assert mirror.snapshot().copies == {}
        records.copy(state="READY")
        hope()
        records.drop("copies", "artifacts/a/copies/w")
        hope()
        assert mirror.snapshot().copies == {}


class TestWaiting:
    def test_pending_and_fetched_instances_wait_and_no_others(self, mirror, records, hope):
        for number, state in enumerate(instance_pb2.InstanceState.keys()[1:]):
            records.instance(number, state=state.removeprefix("INSTANCE_STATE_"))
        records.instance(99, retiring=True)
        hope()
        states = {instance_pb2.InstanceState.Name(item.state) for item in mirror.waiting()}
        assert states == {"INSTANCE_STATE_PENDING", "INSTANCE_STATE_FETCHED"}
        assert len(mirror.waiting()) == 2

    def test_fetched_ones_come_first_then_the_oldest(self, mirror, records, hope):
        for number, seconds in ((1, 30), (2, 10), (3, 20)):
            records.instance(number, create_time={"seconds": seconds})
        records.instance(4, state="FETCHED", create_time={"seconds": 40})
        hope()
        assert [item.uid for item in mirror.waiting()] == ["uid-4", "uid-2", "uid-3", "uid-1"]

    def test_who_stops_waiting_is_dropped(self, mirror, records, hope):
        records.instance(1)
        records.instance(2)
        hope()
        records.instance(1, state="RUNNING", **bound())
        records.drop("instances", "models/m/instances/2")
        hope()
        assert mirror.waiting() == []
        assert set(mirror.instances) == {"models/m/instances/1"}


class TestRequests:
    def test_a_request_says_what_the_model_and_the_instance_say(self, mirror, records, hope):
        placement = model_pb2.PlacementPolicy(
            workers=["workers/x"], strategy=model_pb2.PLACEMENT_STRATEGY_BINPACK
        )
        records.model(placement=placement, llama_cpp={"context_length": 777})
        instance = records.instance(1, state="FETCHED", worker="workers/x", last_worker="workers/y")
        hope()
        request = mirror.request_for(instance)
        assert (request.model, request.artifact, request.seed) == ("models/m", "artifacts/a", "uid-1")
        assert (request.nominated_worker, request.last_worker) == ("workers/x", "workers/y")
        assert request.engine is EngineKind.LLAMA_CPP
        assert request.strategy is PlacementStrategy.BINPACK
        assert request.selection.workers == {"workers/x"}
        assert request.options.context_length == 777
        assert request.facts.block_bytes == (GIB, GIB)

    def test_an_unresolved_model_asks_for_nothing_yet(self, mirror, records, hope):
        records.model(artifact="")
        instance = records.instance()
        hope()
        assert mirror.request_for(instance) is None

    def test_an_instance_without_its_model_asks_for_nothing(self, mirror, records, hope):
        instance = records.instance()
        hope()
        assert mirror.request_for(instance) is None


@pytest.mark.rule("event-driven")
class TestHope:
    def test_what_could_help(self, records, hope):
        records.worker(ram=GIB)
        assert hope()
        records.instance(1)
        assert hope()
        records.model()
        assert hope()
        running = records.instance(2, state="RUNNING", **bound())
        hope()
        records.drop("instances", running.name)
        assert hope()
        records.worker("workers/w", ram=2 * GIB)
        assert hope()
        records.copy(state="FETCHING")
        assert not hope()
        records.copy()
        assert hope(), "a worker whose disk had no room for it can take it now"
        records.instance(3, state="FETCHING", worker="workers/w")
        assert not hope()
        records.instance(3, state="FETCHED", worker="workers/w")
        assert hope()
        records.instance(3, state="PENDING")
        assert hope()
        records.instance(3, state="PENDING", uid="another")
        assert hope()

    def test_what_could_not(self, records, hope):
        records.worker()
        records.model()
        records.instance(1)
        hope()
        assert not hope()
        records.worker(foreign_bytes=12345)
        assert not hope()
        records.instance(1, explanation=placement_pb2.Explanation(summary="still nowhere"))
        assert not hope()
        records.instance(2, state="RUNNING", **bound())
        assert not hope()
        artifact = type(records.state["artifacts"]["artifacts/a"])()
        artifact.CopyFrom(records.state["artifacts"]["artifacts/a"])
        artifact.pull.done_bytes = 5
        records.put("artifacts", artifact)
        assert not hope()
        records.worker(state="UNREACHABLE")
        assert not hope()

    def test_hope_is_kept_until_it_is_taken(self, mirror, records):
        records.worker()
        mirror.sync(records.snapshot())
        mirror.sync(records.snapshot())
        assert mirror.take_hope()
        assert not mirror.take_hope()


class TestAhead:
    """What the registry answered counts before it comes back as an event."""

    def test_an_answer_counts_at_once_and_is_not_undone_by_the_cache(self, mirror, records, hope):
        records.worker()
        instance = records.instance()
        hope()
        starting = newer(instance, records, state=instance_pb2.INSTANCE_STATE_STARTING, **bound())
        mirror.learn(starting)
        for _ in range(2):
            assert mirror.waiting() == []
            assert mirror.snapshot().columns.claimed.sum() == GIB
            records.worker("workers/other")
            hope()

    def test_an_older_event_on_the_way_does_not_undo_it(self, mirror, records, hope):
        records.worker()
        instance = records.instance()
        hope()
        late = newer(instance, records)
        starting = newer(instance, records, state=instance_pb2.INSTANCE_STATE_STARTING, **bound())
        mirror.learn(starting)
        records.state["instances"][late.name] = late
        hope()
        assert mirror.waiting() == []

    def test_the_event_takes_over_once_it_comes(self, mirror, records, hope):
        records.worker()
        instance = records.instance()
        hope()
        mirror.learn(newer(instance, records, state=instance_pb2.INSTANCE_STATE_STARTING, **bound()))
        records.instance(state="PENDING")
        hope()
        assert len(mirror.waiting()) == 1
        assert mirror.snapshot().columns.claimed.sum() == 0

    def test_an_instance_that_is_gone_stays_gone(self, mirror, records, hope):
        instance = records.instance()
        hope()
        mirror.learn(newer(instance, records, state=instance_pb2.INSTANCE_STATE_STARTING, **bound()))
        records.drop("instances", instance.name)
        hope()
        assert mirror.instances == {}
        mirror.learn(newer(instance, records))
        assert mirror.instances == {}

    def test_another_of_the_same_name_is_another(self, mirror, records, hope):
        instance = records.instance()
        hope()
        mirror.learn(newer(instance, records, state=instance_pb2.INSTANCE_STATE_STARTING, **bound()))
        records.instance(uid="another")
        hope()
        assert [item.uid for item in mirror.waiting()] == ["another"]

    def test_an_older_answer_is_no_news(self, mirror, records, hope):
        instance = records.instance()
        stale = instance_pb2.Instance()
        stale.CopyFrom(instance)
        records.instance(state="RUNNING", **bound())
        hope()
        mirror.learn(stale)
        assert mirror.waiting() == []
