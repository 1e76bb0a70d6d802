"""What an agent reports of an instance, and what comes of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from moorage_common.core.errors import ErrorReason, FailedPrecondition, NotFound
from moorage_common.core.names import instance_name, worker_name
from moorage_common.core.states import InstanceState
from moorage_registry.core.instances import Move, apply
from moorage_registry.core.members import MemberMove, part_reported
from moorage_registry.core.records import Instance, Json, Member
from moorage_registry.core.transitions import HOLDS_CLAIM, InstanceEvent

EVENT_OF_STATE = {
    InstanceState.STARTING: InstanceEvent.REPORT_STARTING,
    InstanceState.RUNNING: InstanceEvent.REPORT_RUNNING,
    InstanceState.ERROR: InstanceEvent.REPORT_ERROR,
    InstanceState.STOPPED: InstanceEvent.REPORT_STOPPED,
}
"""The states that an agent may report."""

_STATE_OF_EVENT = {event: state for state, event in EVENT_OF_STATE.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceReport:
    """One report."""

    uid: str
    worker_id: str
    event: InstanceEvent
    endpoint: str = ""
    error: Json | None = None
    restart_count: int = 0
    generation: int = 0
    """Of the instance, as the agent was told it. 0: not said, taken as the present one."""


def apply_report(instance: Instance, report: InstanceReport, *, now: datetime) -> Move:
    """Moves an instance by what its agent reports. What an earlier generation of it did changes nothing.

    Raises:
        NotFound: The report is of an earlier instance of this name.
        FailedPrecondition: It does not go with where the instance stands; the agent should stop the engine.
    """
    if not _counts(instance, report):
        return Move(before=instance, after=instance)
    move = apply(instance, report.event, now=now)
    facts: dict[str, Any]
    match move.after.state:
        case InstanceState.RUNNING:
            facts = {"endpoint": report.endpoint, "error": None, "restart_count": report.restart_count}
        case InstanceState.ERROR:
            facts = {"endpoint": "", "error": report.error, "restart_count": report.restart_count}
        case InstanceState.STARTING:
            facts = {"endpoint": "", "restart_count": report.restart_count}
        case _:
            return move
    return Move(before=instance, after=replace(move.after, **facts))


def apply_part_report(
    instance: Instance, members: Sequence[Member], report: InstanceReport, *, now: datetime
) -> MemberMove:
    """Moves an instance over several workers by what the agent of one of them reports of its part.

    Args:
        instance: The instance, which holds its claims.
        members: Its members, by rank.
        report: The report.
        now: The time.

    Raises:
        NotFound: The report is of an earlier instance of this name.
        FailedPrecondition: It does not go with where the instance stands; the agent should stop its part.
    """
    if not _counts(instance, report):
        return MemberMove(Move(before=instance, after=instance), tuple(members))
    member = next(member for member in members if member.worker_id == report.worker_id)
    state = _STATE_OF_EVENT[report.event]
    reported = replace(
        member,
        state=state,
        endpoint=report.endpoint if state is InstanceState.RUNNING else "",
        error=report.error if state is InstanceState.ERROR else None,
        stopped_at=now if state is InstanceState.STOPPED else None,
    )
    return part_reported(instance, members, reported, now=now, restart_count=report.restart_count)


def _counts(instance: Instance, report: InstanceReport) -> bool:
    """Whether a report is of the instance as it is now; raises what it is to be refused with."""
    name = instance_name(instance.model_id, instance.id)
    if report.uid != instance.uid:
        raise NotFound(f"{name} is not the instance that was reported on", resource=name)
    if report.generation > instance.generation:
        raise _unknown_generation(name, report, instance)
    if 0 < report.generation < instance.generation:
        return False
    elsewhere = instance.state in HOLDS_CLAIM and report.worker_id not in instance.workers
    if elsewhere and report.event is not InstanceEvent.REPORT_STOPPED:
        bound = ", ".join(map(worker_name, instance.workers))
        raise FailedPrecondition(
            f"{name} is bound to {bound}",
            reason=ErrorReason.TRANSITION_NOT_ALLOWED,
            metadata={"instance": name, "worker": bound},
        )
    return not elsewhere


def _unknown_generation(name: str, report: InstanceReport, instance: Instance) -> FailedPrecondition:
    return FailedPrecondition(
        f"{name} is of generation {instance.generation}: there was no generation {report.generation} yet",
        reason=ErrorReason.TRANSITION_NOT_ALLOWED,
        remedy="Report on what the latest desired state names.",
        metadata={
            "instance": name,
            "generation": str(instance.generation),
            "reported_generation": str(report.generation),
        },
    )
