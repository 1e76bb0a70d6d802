"""What agents measured of the instances that run on their nodes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from moorage_registry.core.records import Json
from moorage_registry.core.transitions import HOLDS_CLAIM
from moorage_registry.store import schema
from moorage_registry.store.database import Transaction
from moorage_registry.store.tables import INSTANCES


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredInstance:
    """What an agent measured of one instance."""

    worker_id: str
    """The agent's."""
    uid: str
    generation: int
    performance: Json


async def note(tx: Transaction, measured: Iterable[MeasuredInstance]) -> None:
    """Notes what was measured of instances, however many, in two statements.

    What is of an earlier generation, or of an instance that is not the agent's, is passed over. Instances are locked
    here: do so before any worker is.
    """
    by_uid = {each.uid: each for each in measured}
    if not by_uid:
        return
    table = schema.instances
    found = await INSTANCES.lock(tx, table.c.uid.in_(by_uid), table.c.state.in_(HOLDS_CLAIM))
    changed = [
        replace(instance, performance=each.performance)
        for instance in found
        if (each := by_uid[instance.uid]).performance != instance.performance
        and (each.worker_id, each.generation) == (instance.worker_id, instance.generation)
    ]
    await INSTANCES.save(tx, changed, measured=True)
