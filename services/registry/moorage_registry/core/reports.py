"""What an agent reports of an instance, and what comes of it."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from moorage_common.core.errors import ErrorReason, FailedPrecondition, NotFound
from moorage_common.core.names import instance_name
from moorage_common.core.states import InstanceState
from moorage_registry.core.instances import Move, apply
from moorage_registry.core.records import Instance, Json
from moorage_registry.core.transitions import HOLDS_CLAIM, InstanceEvent

EVENT_OF_STATE = {
    InstanceState.STARTING: InstanceEvent.REPORT_STARTING,
    InstanceState.RUNNING: InstanceEvent.REPORT_RUNNING,
    InstanceState.ERROR: InstanceEvent.REPORT_ERROR,
    InstanceState.STOPPED: InstanceEvent.REPORT_STOPPED,
}
"""The states that an agent may report."""


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
    name = instance_name(instance.model_id, instance.id)
    if report.uid != instance.uid:
        raise NotFound(f"{name} is not the instance that was reported on", resource=name)
    if report.generation > instance.generation:
        raise _unknown_generation(name, report, instance)
    if 0 < report.generation < instance.generation:
        return Move(before=instance, after=instance)
    elsewhere = instance.state in HOLDS_CLAIM and report.worker_id != instance.worker_id
    if elsewhere and report.event is InstanceEvent.REPORT_STOPPED:
        return Move(before=instance, after=instance)
    if elsewhere:
        raise FailedPrecondition(
            f"{name} is bound to workers/{instance.worker_id}",
            reason=ErrorReason.TRANSITION_NOT_ALLOWED,
            metadata={"instance": name, "worker": f"workers/{instance.worker_id}"},
        )
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
