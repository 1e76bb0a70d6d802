"""What to tell the registry about an instance, once it is known where it goes."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum

from moorage.registry.v1.instance_pb2 import Instance
from moorage_common.core.states import InstanceState
from moorage_common.rpc.enums import INSTANCE_STATE
from moorage_scheduler.convert.outcomes import gist_of_proto
from moorage_scheduler.core.explanation import Explanation
from moorage_scheduler.core.pipeline import released
from moorage_scheduler.core.request import Outcome, Placement
from moorage_scheduler.prediction.outcome import Prediction


class Action(StrEnum):
    """What to do with an instance."""

    BIND = "BIND"
    """Its artifact is where it is read: claim memory there and start it."""
    NOMINATE = "NOMINATE"
    """Bring its artifact there first."""
    RECORD = "RECORD"
    """No worker, or no longer the one that it was nominated for: it waits, with the explanation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the scheduler wants of one instance."""

    instance: Instance
    """As it was when this was decided."""
    action: Action
    placement: Placement | None
    """None only with RECORD."""
    explanation: Explanation | None
    """None: as it was when it was nominated, which the registry has recorded."""
    predicted: Prediction | None = None
    """How fast it should be there, for a BIND. None: not known."""

    @property
    def why(self) -> str:
        """The explanation in a sentence."""
        return (self.explanation or self.instance.explanation).summary


def is_fetched(instance: Instance) -> bool:
    """Whether an instance's artifact was fetched for it."""
    return INSTANCE_STATE.from_proto(instance.state) is InstanceState.FETCHED


def decide(instance: Instance, outcome: Outcome, *, holders: AbstractSet[str]) -> Decision | None:
    """Returns what to do. None: nothing, for the registry knows all of it.

    Args:
        instance: PENDING, or FETCHED for the workers that it names.
        outcome: Where it goes, and why.
        holders: The workers on which its artifact is ready.
    """
    placement, explanation = outcome.placement, outcome.explanation
    fetched = is_fetched(instance)
    if placement is None:
        # One that was fetched in vain gives up its nomination even if its explanation reads the same.
        if not fetched and gist_of_proto(instance.explanation) == explanation.gist:
            return None
        return Decision(instance=instance, action=Action.RECORD, placement=None, explanation=explanation)
    # That it was fetched is the registry's word; the event about the copy itself may still be on its way.
    fetched_for = {instance.worker, *instance.subordinates} if fetched else set()
    lacking = set(placement.loaders) - holders - fetched_for
    if fetched and (lacking or placement.worker != instance.worker):
        why = released(explanation, instance.worker)
        return Decision(instance=instance, action=Action.RECORD, placement=None, explanation=why)
    action = Action.NOMINATE if lacking else Action.BIND
    return Decision(instance=instance, action=action, placement=placement, explanation=explanation)
