"""How an instance's record changes when something happens to it."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from moorage_common.core.states import InstanceState
from moorage_registry.core.records import Instance
from moorage_registry.core.transitions import HOLDS_CLAIM, NOMINATED, InstanceEvent, next_state


@dataclass(frozen=True, slots=True)
class Move:
    """An instance before and after something happened to it."""

    before: Instance
    after: Instance
    touches: bool = False
    """Whether its members' parts changed: all of their nodes are told, with a new version of the instance."""

    @property
    def frees_claims(self) -> bool:
        """Whether its memory goes back to the pools."""
        return self.before.state in HOLDS_CLAIM and self.after.state not in HOLDS_CLAIM

    @property
    def drops_nomination(self) -> bool:
        """Whether its artifact may no longer be wanted on the worker."""
        return self.before.state in NOMINATED and self.after.worker_id is None

    @property
    def removes(self) -> bool:
        """Whether the record is to go."""
        return self.after.retiring and self.after.state is InstanceState.STOPPED


def apply(instance: Instance, event: InstanceEvent, *, now: datetime, **changes: Any) -> Move:  # noqa: ANN401
    """Moves an instance along the transition table.

    A state without a worker forgets the worker and what was held there; a state change is timed.

    Raises:
        FailedPrecondition: The event cannot happen in the instance's state.
    """
    state = next_state(instance.state, event)
    after = replace(instance, **changes, state=state)
    if state is not instance.state:
        after = replace(after, state_at=now)
    if state in {InstanceState.PENDING, InstanceState.STOPPED}:
        after = replace(after, worker_id=None, subordinates=[], artifact_on_all=False, placement=None)
        after = replace(after, endpoint="", restart_count=0, evicting=False, performance=None)
    if state is InstanceState.STOPPED:
        after = replace(after, explanation=None, explanation_message=None, error=None)
    if state in {InstanceState.UNREACHABLE, InstanceState.STOPPING}:
        after = replace(after, endpoint="")
    return Move(before=instance, after=after)


def restarted(instance: Instance, *, now: datetime) -> Move:
    """Has an instance's engine started again, in place: what it is now becomes an earlier generation's.

    What has no engine yet stays as it is: a new one is all that it waits for.

    Raises:
        FailedPrecondition: It is STOPPING or STOPPED.
    """
    move = apply(instance, InstanceEvent.RESTART, now=now)
    if instance.state not in HOLDS_CLAIM:
        return move
    generation = instance.generation + 1
    after = replace(
        move.after, generation=generation, endpoint="", error=None, restart_count=0, performance=None
    )
    return Move(before=instance, after=after)
