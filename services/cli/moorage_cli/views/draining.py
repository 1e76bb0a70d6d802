"""How far a worker is emptied: what is still there, and why it does not move."""

from collections.abc import Sequence
from dataclasses import dataclass

from moorage.registry.v1.instance_pb2 import InstanceState
from moorage.registry.v1.worker_service_pb2 import DrainingInstance, DrainStep, DrainWorkerResponse
from moorage_cli.views.milestones import Mark, Milestone
from moorage_cli.views.page import Page, Rows
from moorage_cli.views.words import plural, short, state


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainStatus:
    """Everything there is to tell about a drain at one moment."""

    milestones: Sequence[Milestone]
    remaining: Page
    """What is still there. Empty: nothing is."""
    done: bool


def drain_status(progress: DrainWorkerResponse, seen: Sequence[str]) -> DrainStatus:
    """Returns how far a drain is.

    Args:
        progress: What the registry says.
        seen: The instances that were there before, by name.
    """
    there = {each.instance for each in progress.instances}
    gone = [Milestone(Mark.DONE, "gone", short(name)) for name in seen if name not in there]
    return DrainStatus(
        milestones=[*gone, *(_milestone(each) for each in progress.instances)],
        remaining=[_rows(progress.instances)] if progress.instances else [],
        done=not progress.instances,
    )


def left_line(progress: DrainWorkerResponse) -> str:
    """Returns e.g. "2 instances are still there: a/1, b/2"."""
    names = ", ".join(short(each.instance) for each in progress.instances)
    verb = "is" if len(progress.instances) == 1 else "are"
    return f"{plural(len(progress.instances), 'instance')} {verb} still there: {names}"


def _milestone(each: DrainingInstance) -> Milestone:
    who = short(each.instance)
    match each.step:
        case DrainStep.DRAIN_STEP_BLOCKED:
            return Milestone(Mark.TROUBLE, "blocked", f"{who}: {_why(each)}")
        case DrainStep.DRAIN_STEP_STOPPING:
            return Milestone(Mark.WAITING, "stopping", who)
        case _:
            return Milestone(Mark.WAITING, "moving", f"{who}: {_why(each)}")


def _rows(instances: Sequence[DrainingInstance]) -> Rows:
    return Rows(
        ("STILL THERE", "STATE", "STEP", "WHY"),
        tuple(
            (
                short(each.instance),
                state(InstanceState.Name(each.state), "INSTANCE_STATE_"),
                state(DrainStep.Name(each.step), "DRAIN_STEP_"),
                _why(each),
            )
            for each in instances
        ),
        indent=2,
    )


def _why(each: DrainingInstance) -> str:
    if each.obstacle.message:
        return each.obstacle.message
    if each.step == DrainStep.DRAIN_STEP_STOPPING:
        return "its memory is free once the agent says that it is gone"
    if each.replacements:
        return f"serves until {', '.join(short(name) for name in each.replacements)} runs"
    return "serves until another runs elsewhere"
