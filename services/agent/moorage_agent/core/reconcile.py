"""What to do, given what should be and what is. Level-triggered: asked again, it gets to the same place.

Engines, by what is wanted and where the engine stands (``-``: nothing to do):

    ================== ========== ======== ======== ============ ========
    wanted             no engine  CHECKING RUNNING  BACKING_OFF  STOPPING
                                  STARTING
    ================== ========== ======== ======== ============ ========
    run, as it is      start      -        -        start, when  -
                                                    it is time
    run, another       start      stop     stop     start        -
    not                -          stop     stop     forget       -
    ================== ========== ======== ======== ============ ========

What the node refuses to run (an instance over several workers) is not wanted here, and its report says why.
An engine is another if its spec or its instance's generation is: a restart is asked for by a new
generation of the same spec. An engine is only started while its artifact is READY here, and one at a
time per instance: another starts once the engine before is gone, because both would not fit the claim.

Copies, by whether they are wanted and where they stand:

    ========== ======= ========== ======== ============= ======
    wanted     no copy ABSENT     FETCHING FAILED        READY
                                  VERIFYING
    ========== ======= ========== ======== ============= ======
    yes        fetch   fetch      fetch if fetch, when   -
                                  changed  it is time
    no         -       drop       drop     drop          -
    ========== ======= ========== ======== ============= ======

A READY copy that nothing wants stays until its room is needed: what is wanted again costs no bytes.
Without a desired state (the registry has not been heard yet) nothing is done at all: engines found
when the agent started keep running.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum

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
    ForgetEngine,
    InstanceAssignment,
    Plan,
    StartEngine,
    StopEngine,
)
from moorage_common.core.states import CopyState


class Wanted(StrEnum):
    """What is wanted of an engine, given the one that is there."""

    SAME = "SAME"
    """To run, with the spec and in the generation that it has."""
    OTHER = "OTHER"
    """To run, with another spec or in another generation."""
    NONE = "NONE"
    """Not to run."""


class EngineDecision(StrEnum):
    """What to do about an engine that is there."""

    KEEP = "KEEP"
    STOP = "STOP"
    START = "START"
    START_WHEN_DUE = "START_WHEN_DUE"
    FORGET = "FORGET"


ENGINE_TABLE: Mapping[tuple[Wanted, EnginePhase], EngineDecision] = {
    (Wanted.SAME, EnginePhase.CHECKING): EngineDecision.KEEP,
    (Wanted.SAME, EnginePhase.STARTING): EngineDecision.KEEP,
    (Wanted.SAME, EnginePhase.RUNNING): EngineDecision.KEEP,
    (Wanted.SAME, EnginePhase.BACKING_OFF): EngineDecision.START_WHEN_DUE,
    (Wanted.SAME, EnginePhase.STOPPING): EngineDecision.KEEP,
    (Wanted.OTHER, EnginePhase.CHECKING): EngineDecision.STOP,
    (Wanted.OTHER, EnginePhase.STARTING): EngineDecision.STOP,
    (Wanted.OTHER, EnginePhase.RUNNING): EngineDecision.STOP,
    (Wanted.OTHER, EnginePhase.BACKING_OFF): EngineDecision.START,
    (Wanted.OTHER, EnginePhase.STOPPING): EngineDecision.KEEP,
    (Wanted.NONE, EnginePhase.CHECKING): EngineDecision.STOP,
    (Wanted.NONE, EnginePhase.STARTING): EngineDecision.STOP,
    (Wanted.NONE, EnginePhase.RUNNING): EngineDecision.STOP,
    (Wanted.NONE, EnginePhase.BACKING_OFF): EngineDecision.FORGET,
    (Wanted.NONE, EnginePhase.STOPPING): EngineDecision.KEEP,
}
"""What to do, by what is wanted and where the engine stands."""


def reconcile(desired: DesiredState | None, actual: Actual, *, now: float) -> Plan:
    """Returns what brings the node from what is to what should be.

    Args:
        desired: What should be. None: not known yet.
        actual: What is.
        now: Seconds of the monotonic clock.
    """
    if desired is None:
        return Plan()
    actions = (*_copy_actions(desired, actual, now), *_engine_actions(desired, actual, now))
    return Plan(actions=actions, wake_at=_next_retry(desired, actual, now))


def ready_artifacts(actual: Actual) -> frozenset[str]:
    """Returns the ids of the artifacts that are whole and verified on the node."""
    return frozenset(copy.assignment.artifact for copy in actual.copies if copy.state is CopyState.READY)


def _engine_actions(desired: DesiredState, actual: Actual, now: float) -> Iterator[Action]:
    ready = ready_artifacts(actual)
    engines = {engine.uid: engine for engine in actual.engines}
    for assignment in desired.instances:
        action = _engine_action(assignment, engines.pop(assignment.uid, None), now)
        starts = isinstance(action, StartEngine)
        if action is not None and not (starts and _artifact(assignment) not in ready):
            yield action
    for engine in engines.values():
        action = _decided(ENGINE_TABLE[Wanted.NONE, engine.phase], None, engine, now)
        if action is not None:
            yield action


def _engine_action(assignment: InstanceAssignment, engine: EngineStatus | None, now: float) -> Action | None:
    if engine is None:
        return None if assignment.spec is None else StartEngine(assignment=assignment)
    return _decided(ENGINE_TABLE[_wanted(assignment, engine), engine.phase], assignment, engine, now)


def _wanted(assignment: InstanceAssignment, engine: EngineStatus) -> Wanted:
    if assignment.spec is None:
        return Wanted.NONE
    same = assignment.spec == engine.spec and assignment.generation == engine.generation
    return Wanted.SAME if same else Wanted.OTHER


def _decided(
    decision: EngineDecision, assignment: InstanceAssignment | None, engine: EngineStatus, now: float
) -> Action | None:
    match decision:
        case EngineDecision.STOP:
            return StopEngine(uid=engine.uid)
        case EngineDecision.FORGET:
            return ForgetEngine(uid=engine.uid)
        case EngineDecision.KEEP:
            return None
        case EngineDecision.START_WHEN_DUE if engine.retry_at > now:
            return None
        case EngineDecision.START | EngineDecision.START_WHEN_DUE:
            return None if assignment is None else StartEngine(assignment=assignment)


def _artifact(assignment: InstanceAssignment) -> str:
    return "" if assignment.spec is None else assignment.spec.artifact


def _copy_actions(desired: DesiredState, actual: Actual, now: float) -> Iterator[Action]:
    evictable = _evictable(desired, actual)
    copies = {copy.assignment.artifact: copy for copy in actual.copies}
    for assignment in desired.copies:
        if _should_fetch(assignment, copies.pop(assignment.artifact, None), now):
            yield FetchCopy(assignment=assignment, evictable=evictable)
    for copy in copies.values():
        if copy.state is not CopyState.READY:
            yield DropCopy(artifact=copy.assignment.artifact)


def _should_fetch(assignment: CopyAssignment, copy: CopyStatus | None, now: float) -> bool:
    if copy is None:
        return bool(assignment.read_from)
    changed = copy.assignment != assignment
    match copy.state:
        case CopyState.READY:
            return False
        case CopyState.FAILED:
            return bool(assignment.read_from) and (changed or copy.retry_at <= now)
        case CopyState.ABSENT:
            return bool(assignment.read_from)
        case _:
            # Also when no address is left: the fetch then waits for the next one with its bytes kept.
            return changed


def _evictable(desired: DesiredState, actual: Actual) -> tuple[str, ...]:
    wanted = {assignment.artifact for assignment in desired.copies}
    wanted |= {_artifact(assignment) for assignment in desired.instances}
    wanted |= {engine.spec.artifact for engine in actual.engines}
    return tuple(sorted(ready_artifacts(actual) - wanted))


def _next_retry(desired: DesiredState, actual: Actual, now: float) -> float | None:
    running = {assignment.uid for assignment in desired.instances if assignment.spec is not None}
    wanted = {assignment.artifact for assignment in desired.copies if assignment.read_from}
    retries = [
        engine.retry_at
        for engine in actual.engines
        if engine.phase is EnginePhase.BACKING_OFF and engine.uid in running
    ]
    retries += [
        copy.retry_at
        for copy in actual.copies
        if copy.state is CopyState.FAILED and copy.assignment.artifact in wanted
    ]
    return min((at for at in retries if at > now), default=None)
