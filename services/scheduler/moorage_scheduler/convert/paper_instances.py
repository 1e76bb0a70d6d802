"""Instances that are on a fleet on paper already, and what they hold there."""

from collections import defaultdict
from collections.abc import Mapping

from moorage.common.v1 import engine_pb2, placement_pb2
from moorage.scheduler.v1 import simulation_pb2 as pb
from moorage_common.core.states import InstanceState
from moorage_common.rpc.enums import INSTANCE_STATE
from moorage_scheduler.convert.problems import Problems, alternatives
from moorage_scheduler.convert.workers import HOLDING, NOMINATED, model_of
from moorage_scheduler.core.cluster import Pool, Tenant

Totals = Mapping[str, Mapping[str, int]]
"""Bytes of every pool, by worker and pool."""


class InstanceReader:
    """Reads instances one by one, and adds up what they hold.

    Args:
        totals: The workers that there are, with their memory.
        problems: Takes in what is wrong.
    """

    def __init__(self, *, totals: Totals, problems: Problems) -> None:
        self._totals = totals
        self._problems = problems
        self._names: dict[str, str] = {}
        self._held: dict[Pool, int] = defaultdict(int)

    def read(self, instance: pb.SimulatedInstance, path: str) -> Tenant | None:
        """Returns what an instance is to its workers. None: nothing, or something is wrong with it.

        Args:
            instance: As the request has it.
            path: Where in the request.
        """
        before = len(self._problems)
        first = self._names.setdefault(instance.name, path)
        if first != path:
            self._problems.add(f"{path}.name", f"{instance.name} is given already, by {first}")
        state = INSTANCE_STATE.from_proto(instance.state) if instance.state else InstanceState.RUNNING
        holds = state in HOLDING
        if not holds and state not in NOMINATED:
            return None
        self._check_members(instance, path)
        subordinates = tuple(instance.subordinates) if holds else ()
        claims = self._claims(instance, path) if holds else {}
        if len(self._problems) > before:
            return None
        return Tenant(
            model=model_of(instance.name),
            worker=instance.worker,
            claims=claims,
            subordinates=subordinates,
            exclusive=instance.engine == engine_pb2.ENGINE_KIND_VLLM and bool(subordinates),
        )

    def _check_members(self, instance: pb.SimulatedInstance, path: str) -> None:
        if not instance.worker:
            self._problems.add(f"{path}.worker", "is missing: it is on some worker")
        elif instance.worker not in self._totals:
            self._problems.add(f"{path}.worker", self._no_worker(instance.worker))
        seen = {instance.worker}
        for position, member in enumerate(instance.subordinates):
            at = f"{path}.subordinates[{position}]"
            if member not in self._totals:
                self._problems.add(at, self._no_worker(member))
            elif member in seen:
                self._problems.add(at, f"{member} takes part already")
            seen.add(member)

    def _claims(self, instance: pb.SimulatedInstance, path: str) -> dict[Pool, int]:
        claims: dict[Pool, int] = defaultdict(int)
        for position, claim in enumerate(instance.claims):
            pool = (claim.worker or instance.worker, claim.pool)
            if self._is_sound(instance, claim, pool, f"{path}.claims[{position}]"):
                claims[pool] += claim.size_bytes
                self._held[pool] += claim.size_bytes
                self._check_total(pool, f"{path}.claims[{position}].size_bytes")
        return claims

    def _is_sound(
        self, instance: pb.SimulatedInstance, claim: placement_pb2.MemoryClaim, pool: Pool, path: str
    ) -> bool:
        worker, name = pool
        if claim.size_bytes < 0:
            self._problems.add(f"{path}.size_bytes", "must not be negative")
            return False
        if worker not in self._totals:
            # Said of the instance, unless it is the claim that names the worker.
            if claim.worker:
                self._problems.add(f"{path}.worker", self._no_worker(worker))
            return False
        if worker != instance.worker and worker not in instance.subordinates:
            self._problems.add(f"{path}.worker", f"{worker} takes no part in the instance")
            return False
        if name not in self._totals[worker]:
            pools = alternatives(self._totals[worker])
            self._problems.add(f"{path}.pool", f"{worker} has no pool {name!r}; it has {pools}")
            return False
        return True

    def _check_total(self, pool: Pool, path: str) -> None:
        worker, name = pool
        total = self._totals[worker][name]
        if self._held[pool] > total:
            told = f"claims on {name} of {worker} come to {self._held[pool]} bytes; it has {total}"
            self._problems.add(path, told)

    def _no_worker(self, name: str) -> str:
        return f"there is no {name}; there is {alternatives(self._totals)}"
