"""The reconcile tables, and what must hold whatever the state."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_agent.core.domain import (
    Action,
    Actual,
    CopyAssignment,
    CopyStatus,
    DesiredState,
    DropCopy,
    EnginePhase,
    EngineStatus,
    FetchCopy,
    FileEntry,
    ForgetEngine,
    InstanceAssignment,
    StartEngine,
    StopEngine,
)
from moorage_agent.core.reconcile import ENGINE_TABLE, EngineDecision, Wanted, reconcile
from moorage_agent.core.spec import EngineSpec
from moorage_common.core.states import CopyState, EngineKind

NOW = 1000.0


def spec(**changes: Any) -> EngineSpec:
    values: dict[str, Any] = {
        "kind": EngineKind.LLAMA_CPP,
        "alias": "m",
        "artifact": "art",
        "entry_point": "m.gguf",
        "context_length": 512,
    }
    return EngineSpec(**{**values, **changes})


def wanted(uid: str = "u", what: EngineSpec | None = None, generation: int = 1) -> InstanceAssignment:
    return InstanceAssignment(uid=uid, instance=f"models/m/instances/{uid}", generation=generation, spec=what)


def engine(phase: EnginePhase, uid: str = "u", **changes: Any) -> EngineStatus:
    values: dict[str, Any] = {
        "instance": f"models/m/instances/{uid}",
        "generation": 1,
        "spec": spec(),
        "retry_at": NOW - 1,
    }
    return EngineStatus(uid=uid, phase=phase, **{**values, **changes})


def copy_of(
    artifact: str = "art", *, read_from: tuple[str, ...] = ("a:1",), size: int = 10
) -> CopyAssignment:
    return CopyAssignment(
        artifact=artifact, files=(FileEntry(path="m.gguf", size_bytes=size),), read_from=read_from
    )


def copy(
    state: CopyState, assignment: CopyAssignment | None = None, *, retry_at: float = NOW - 1
) -> CopyStatus:
    return CopyStatus(assignment=assignment or copy_of(), state=state, retry_at=retry_at)


READY = copy(CopyState.READY)


def plan(desired: DesiredState | None, *, engines: Any = (), copies: Any = ()) -> tuple[Action, ...]:
    return reconcile(desired, Actual(engines=tuple(engines), copies=tuple(copies)), now=NOW).actions


def test_the_engine_table_is_complete() -> None:
    assert set(ENGINE_TABLE) == set(product(Wanted, EnginePhase))


ANOTHER_SPEC = wanted(what=spec(context_length=1024))
NEXT_GENERATION = wanted(what=spec(), generation=2)


@pytest.mark.parametrize("phase", list(EnginePhase))
@pytest.mark.parametrize(
    ("wish", "assignment"),
    [
        (Wanted.SAME, wanted(what=spec())),
        (Wanted.OTHER, ANOTHER_SPEC),
        (Wanted.OTHER, NEXT_GENERATION),
        # What the registry says counts, also if its database was brought back from before.
        (Wanted.OTHER, wanted(what=spec(), generation=0)),
        (Wanted.NONE, wanted()),
        (Wanted.NONE, wanted(generation=2)),
    ],
)
def test_every_row_of_the_engine_table(
    wish: Wanted, assignment: InstanceAssignment, phase: EnginePhase
) -> None:
    expected: dict[EngineDecision, tuple[Action, ...]] = {
        EngineDecision.KEEP: (),
        EngineDecision.STOP: (StopEngine(uid="u"),),
        EngineDecision.FORGET: (ForgetEngine(uid="u"),),
        EngineDecision.START: (StartEngine(assignment=assignment),),
        EngineDecision.START_WHEN_DUE: (StartEngine(assignment=assignment),),
    }
    actions = plan(DesiredState(instances=(assignment,)), engines=[engine(phase)], copies=[READY])
    assert actions == expected[ENGINE_TABLE[wish, phase]]


@pytest.mark.parametrize("phase", list(EnginePhase))
def test_an_engine_that_is_not_named_is_not_wanted(phase: EnginePhase) -> None:
    named = plan(DesiredState(instances=(wanted(),)), engines=[engine(phase)])
    assert plan(DesiredState(), engines=[engine(phase)]) == named


def test_nothing_is_done_before_the_registry_was_heard() -> None:
    assert plan(None, engines=[engine(EnginePhase.RUNNING)], copies=[copy(CopyState.FETCHING)]) == ()


def test_an_engine_starts_once_its_artifact_is_ready() -> None:
    assignment = wanted(what=spec())
    desired = DesiredState(instances=(assignment,))
    assert plan(desired) == ()
    assert plan(desired, copies=[READY]) == (StartEngine(assignment=assignment),)


def test_a_failed_engine_waits_for_its_time() -> None:
    desired = DesiredState(instances=(wanted(what=spec()),))
    actual = Actual(engines=(engine(EnginePhase.BACKING_OFF, retry_at=NOW + 5),), copies=(READY,))
    result = reconcile(desired, actual, now=NOW)
    assert result.actions == ()
    assert result.wake_at == NOW + 5
    assert reconcile(desired, actual, now=NOW + 5).actions


@pytest.mark.parametrize("assignment", [ANOTHER_SPEC, NEXT_GENERATION])
def test_a_failed_engine_makes_no_other_wait(assignment: InstanceAssignment) -> None:
    failed = engine(EnginePhase.BACKING_OFF, retry_at=NOW + 60)
    actions = plan(DesiredState(instances=(assignment,)), engines=[failed], copies=[READY])
    assert actions == (StartEngine(assignment=assignment),)


def test_what_waits_and_is_not_wanted_wakes_nobody() -> None:
    actual = Actual(engines=(engine(EnginePhase.BACKING_OFF, retry_at=NOW + 5),))
    assert reconcile(DesiredState(), actual, now=NOW).wake_at is None


CHANGED = copy_of(read_from=("b:2",))


@pytest.mark.parametrize(
    ("there", "assignment", "fetches"),
    [
        (None, copy_of(), True),
        (None, copy_of(read_from=()), False),
        (copy(CopyState.ABSENT), copy_of(), True),
        (copy(CopyState.FETCHING), copy_of(), False),
        (copy(CopyState.FETCHING), CHANGED, True),
        (copy(CopyState.VERIFYING), copy_of(), False),
        (copy(CopyState.READY), CHANGED, False),
        (copy(CopyState.FAILED), copy_of(), True),
        (copy(CopyState.FAILED, retry_at=NOW + 1), copy_of(), False),
        (copy(CopyState.FAILED, retry_at=NOW + 1), CHANGED, True),
        (copy(CopyState.FAILED), copy_of(read_from=()), False),
    ],
)
def test_every_row_of_the_copy_table(
    there: CopyStatus | None, assignment: CopyAssignment, fetches: bool
) -> None:
    actions = plan(DesiredState(copies=(assignment,)), copies=[there] if there else [])
    assert actions == ((FetchCopy(assignment=assignment),) if fetches else ())


@pytest.mark.parametrize("state", list(CopyState))
def test_a_copy_that_is_not_wanted_stays_only_if_it_is_whole(state: CopyState) -> None:
    expected = () if state is CopyState.READY else (DropCopy(artifact="art"),)
    assert plan(DesiredState(), copies=[copy(state)]) == expected


def test_only_what_nothing_wants_may_be_evicted() -> None:
    there = [copy(CopyState.READY, copy_of(name)) for name in ("idle", "loaded", "wanted", "starting")]
    desired = DesiredState(
        copies=(copy_of("new"), copy_of("wanted")), instances=(wanted("s", spec(artifact="starting")),)
    )
    running = engine(EnginePhase.RUNNING, uid="other", spec=spec(artifact="loaded"))
    fetches = [a for a in plan(desired, engines=[running], copies=there) if isinstance(a, FetchCopy)]
    assert [fetch.evictable for fetch in fetches] == [("idle",)]


SPECS = st.sampled_from([spec(), spec(context_length=1024), spec(artifact="other")])
GENERATIONS = st.sampled_from([1, 2])
UIDS = st.sampled_from(["u1", "u2", "u3"])
TIMES = st.sampled_from([NOW - 1, NOW, NOW + 1])
COPIES = st.builds(
    copy_of,
    st.sampled_from(["art", "other", "third"]),
    read_from=st.sampled_from([(), ("a:1",), ("b:2", "a:1")]),
)
DESIRED = st.builds(
    DesiredState,
    instances=st.lists(
        st.builds(wanted, UIDS, st.none() | SPECS, GENERATIONS), unique_by=lambda a: a.uid
    ).map(tuple),
    copies=st.lists(COPIES, unique_by=lambda c: c.artifact).map(tuple),
)
ACTUAL = st.builds(
    Actual,
    engines=st.lists(
        st.builds(
            engine, st.sampled_from(EnginePhase), UIDS, spec=SPECS, generation=GENERATIONS, retry_at=TIMES
        ),
        unique_by=lambda e: e.uid,
    ).map(tuple),
    copies=st.lists(
        st.builds(copy, st.sampled_from(CopyState), COPIES, retry_at=TIMES),
        unique_by=lambda c: c.assignment.artifact,
    ).map(tuple),
)


@given(DESIRED, ACTUAL)
def test_whatever_the_state_an_action_fits_it(desired: DesiredState, actual: Actual) -> None:
    there = {status.uid: status for status in actual.engines}
    whole = {c.assignment.artifact for c in actual.copies if c.state is CopyState.READY}
    result = reconcile(desired, actual, now=NOW)
    for action in result.actions:
        match action:
            case StartEngine(assignment=assignment):
                assert assignment.spec is not None
                assert assignment.spec.artifact in whole
                before = there.get(assignment.uid)
                assert before is None or before.phase is EnginePhase.BACKING_OFF
            case StopEngine(uid=uid):
                assert there[uid].phase not in {EnginePhase.STOPPING, EnginePhase.BACKING_OFF}
            case ForgetEngine(uid=uid):
                assert there[uid].phase is EnginePhase.BACKING_OFF
            case FetchCopy(assignment=fetched, evictable=evictable):
                assert fetched in desired.copies
                assert not set(evictable) & {c.artifact for c in desired.copies}
            case DropCopy(artifact=artifact):
                assert artifact not in whole
    assert result.wake_at is None or result.wake_at > NOW


def carry_out(actions: tuple[Action, ...], actual: Actual) -> Actual:
    """What is, once actions have had their full effect."""
    engines = {status.uid: status for status in actual.engines}
    copies = {c.assignment.artifact: c for c in actual.copies}
    for action in actions:
        match action:
            case StartEngine(assignment=a):
                assert a.spec is not None
                engines[a.uid] = engine(EnginePhase.RUNNING, a.uid, spec=a.spec, generation=a.generation)
            case StopEngine(uid=uid) | ForgetEngine(uid=uid):
                del engines[uid]
            case FetchCopy(assignment=c):
                copies[c.artifact] = copy(CopyState.READY, c)
            case DropCopy(artifact=artifact):
                del copies[artifact]
    return Actual(engines=tuple(engines.values()), copies=tuple(copies.values()))


@given(DESIRED, ACTUAL)
def test_it_settles(desired: DesiredState, actual: Actual) -> None:
    # A process that was told to end does end, and what waits gets its time: what follows is reconcile's.
    gone = tuple(status for status in actual.engines if status.phase is not EnginePhase.STOPPING)
    actual = Actual(engines=gone, copies=actual.copies)
    for _ in range(4):
        actions = reconcile(desired, actual, now=NOW + 10).actions
        actual = carry_out(actions, actual)
    assert reconcile(desired, actual, now=NOW + 10).actions == ()
    generations = {a.uid: a.generation for a in desired.instances if a.spec is not None}
    assert {status.uid for status in actual.engines} <= generations.keys()
    with_process = [status for status in actual.engines if status.phase is not EnginePhase.BACKING_OFF]
    assert all(status.generation == generations[status.uid] for status in with_process)
