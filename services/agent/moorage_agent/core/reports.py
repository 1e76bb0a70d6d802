"""What the registry is told, given what should be and what is.

A report is a function of the node's state, not of what happened: a report that was lost is made
again, and one that a newer state has overtaken is never sent.

Instances, by what is wanted and where the engine stands (``-``: nothing is said):

    ======= =========================== ======== ======== ======= =========== ========
    wanted  no engine                   CHECKING STARTING RUNNING BACKING_OFF STOPPING
    ======= =========================== ======== ======== ======= =========== ========
    run     STARTING; ERROR without its -        STARTING RUNNING ERROR       STARTING
            artifact
    stop    STOPPED                     -        -        -       -           -
    refused ERROR                       ERROR    ERROR    ERROR   ERROR       ERROR
    ======= =========================== ======== ======== ======= =========== ========

A report is of the generation that is wanted, and nothing of another one's engine goes into it: while
that engine is on its way out the instance is STARTING, and where it has no process it counts for none.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from moorage_agent.core.domain import (
    Actual,
    CopyStatus,
    DesiredState,
    EnginePhase,
    EngineStatus,
    InstanceAssignment,
)
from moorage_agent.core.fault import Fault
from moorage_agent.core.reconcile import ready_artifacts
from moorage_common.core.errors import ErrorReason, FailedPrecondition
from moorage_common.core.states import CopyState, InstanceState


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceReport:
    """Where an instance stands."""

    uid: str
    instance: str
    generation: int
    """Of the instance, that this is of."""
    state: InstanceState
    """STARTING, RUNNING, ERROR or STOPPED."""
    endpoint: str = ""
    error: Fault | None = None
    restart_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """Where an artifact's copy stands."""

    artifact: str
    state: CopyState
    done_bytes: int = 0
    bytes_per_second: int = 0
    error: Fault | None = None


_STATES: Mapping[EnginePhase, InstanceState | None] = {
    EnginePhase.CHECKING: None,
    EnginePhase.STARTING: InstanceState.STARTING,
    EnginePhase.RUNNING: InstanceState.RUNNING,
    EnginePhase.BACKING_OFF: InstanceState.ERROR,
    EnginePhase.STOPPING: InstanceState.STARTING,
}


def instance_reports(desired: DesiredState | None, actual: Actual) -> list[InstanceReport]:
    """Returns where every instance stands that the registry wants to hear of."""
    if desired is None:
        return []
    ready = ready_artifacts(actual)
    engines = {engine.uid: engine for engine in actual.engines}
    reports = (
        _refusal(item) or _instance_report(item, engines.get(item.uid), ready) for item in desired.instances
    )
    return [report for report in reports if report is not None]


def copy_reports(desired: DesiredState | None, actual: Actual) -> list[CopyReport]:
    """Returns where every copy stands that the registry wants to hear of."""
    if desired is None:
        return []
    copies = {copy.assignment.artifact: copy for copy in actual.copies}
    return [_copy_report(item.artifact, copies.get(item.artifact)) for item in desired.copies]


def _refusal(assignment: InstanceAssignment) -> InstanceReport | None:
    if assignment.refusal is None:
        return None
    return _report(assignment, InstanceState.ERROR, error=assignment.refusal)


def _instance_report(
    assignment: InstanceAssignment, engine: EngineStatus | None, ready: frozenset[str]
) -> InstanceReport | None:
    if assignment.spec is None:
        return _report(assignment, InstanceState.STOPPED) if engine is None else None
    if engine is None:
        return _report_without_engine(assignment, assignment.spec.artifact, ready)
    if engine.generation != assignment.generation:
        if engine.phase is EnginePhase.BACKING_OFF:
            return _report_without_engine(assignment, assignment.spec.artifact, ready)
        return _report(assignment, InstanceState.STARTING)
    state = _STATES[engine.phase]
    if state is None:
        return None
    return _report(
        assignment,
        state,
        endpoint=engine.endpoint if state is InstanceState.RUNNING else "",
        error=engine.error if state is InstanceState.ERROR else None,
        restart_count=engine.restart_count,
    )


def _report_without_engine(
    assignment: InstanceAssignment, artifact: str, ready: frozenset[str]
) -> InstanceReport:
    if artifact in ready:
        return _report(assignment, InstanceState.STARTING)
    return _report(assignment, InstanceState.ERROR, error=_artifact_missing(artifact))


def _report(
    assignment: InstanceAssignment,
    state: InstanceState,
    *,
    endpoint: str = "",
    error: Fault | None = None,
    restart_count: int = 0,
) -> InstanceReport:
    return InstanceReport(
        uid=assignment.uid,
        instance=assignment.instance,
        generation=assignment.generation,
        state=state,
        endpoint=endpoint,
        error=error,
        restart_count=restart_count,
    )


def _artifact_missing(artifact: str) -> Fault:
    return Fault(
        kind=FailedPrecondition,
        message="the model's files are not whole on this worker; they are being fetched",
        reason=ErrorReason.ARTIFACT_NOT_READY,
        resource=f"artifacts/{artifact}",
    )


def _copy_report(artifact: str, copy: CopyStatus | None) -> CopyReport:
    if copy is None:
        return CopyReport(artifact=artifact, state=CopyState.ABSENT)
    return CopyReport(
        artifact=artifact,
        state=copy.state,
        done_bytes=copy.done_bytes,
        bytes_per_second=copy.bytes_per_second,
        error=copy.error,
    )
