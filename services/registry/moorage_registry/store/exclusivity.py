"""Which workers take part in distributed vLLM instances: read under their locks where it decides something."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from moorage_common.core.names import instance_name, model_name
from moorage_common.core.states import EngineKind
from moorage_registry.core.engines import is_exclusive
from moorage_registry.core.exclusivity import check_free, check_selection
from moorage_registry.core.members import members_of
from moorage_registry.core.records import Instance, Member, Model
from moorage_registry.core.selections import selection_of
from moorage_registry.store import members
from moorage_registry.store.database import Transaction
from moorage_registry.store.placement_checks import read_served


@dataclass(slots=True)
class Memberships:
    """What locked workers take part in, and what the transaction adds to that. Written by `settle`."""

    _holders: dict[str, str]
    _added: list[Member] = field(default_factory=list)

    @classmethod
    async def read(cls, tx: Transaction, worker_ids: Collection[str]) -> "Memberships":
        """Reads what locked workers take part in."""
        return cls(await members.exclusive_on(tx.connection, worker_ids))

    def check(self, engine: EngineKind | None, workers: Sequence[str]) -> None:
        """Checks that workers can take part in an instance.

        Raises:
            FailedPrecondition: It is vLLM's, and they are several, of which one takes part in another like it
                (DISTRIBUTED_VLLM_EXCLUSIVE).
        """
        if is_exclusive(engine, len(workers)):
            check_free(workers, self._holders)

    def take(self, engine: EngineKind | None, instance: Instance) -> None:
        """Makes the workers of an instance its members."""
        exclusive = is_exclusive(engine, len(instance.workers))
        self._added += members_of(instance, exclusive=exclusive)
        if exclusive:
            name = instance_name(instance.model_id, instance.id)
            self._holders |= dict.fromkeys(instance.workers, name)

    async def settle(self, tx: Transaction) -> None:
        """Writes the new members."""
        await members.add(tx, self._added)


async def check_deployable(tx: Transaction, model: Model) -> None:
    """Checks that GPUs chosen by hand for vLLM force no instance onto workers that take part in another.

    What is bound meanwhile is refused when it is bound.

    Raises:
        FailedPrecondition: They do (DISTRIBUTED_VLLM_EXCLUSIVE).
    """
    selection = selection_of(model.placement)
    if not selection.gpus or model.replicas == 0:
        return
    if (await read_served(tx, [model.id]))[model.id].engine is not EngineKind.VLLM:
        return
    ids = {worker.removeprefix("workers/") for worker in selection.workers}
    holders = await members.exclusive_on(tx.connection, ids)
    # What its own instances still hold they give back before the new ones are placed.
    own = f"{model_name(model.id)}/"
    check_selection(selection, {w: name for w, name in holders.items() if not name.startswith(own)})
