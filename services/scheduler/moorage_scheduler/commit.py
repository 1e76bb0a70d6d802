"""Sends decisions to the registry in bulk, and reads what became of each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from moorage.common.v1.placement_pb2 import Explanation
from moorage.registry.v1 import instance_service_pb2 as pb
from moorage.registry.v1.instance_pb2 import Instance
from moorage.registry.v1.instance_service_pb2_grpc import InstanceServiceStub
from moorage_common.core.errors import Internal, MoorageError
from moorage_common.rpc.status import from_status
from moorage_scheduler.convert.outcomes import explanation_to_proto, placement_to_proto
from moorage_scheduler.decisions import Action, Decision


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of one decision."""

    instance: Instance | None
    """As it is now. None: there is none."""
    error: MoorageError | None
    """Why it was refused. None: it was taken on."""


class Committer:
    """The registry's side of decisions."""

    def __init__(self, instances: InstanceServiceStub) -> None:
        self._instances = instances

    async def __call__(self, decisions: Sequence[Decision]) -> Sequence[Committed]:
        """Sends decisions. Returns one result per decision, in the same order.

        Raises:
            MoorageError: A call failed as a whole; some decisions may have been taken on all the same.
        """
        results: dict[int, Committed] = {}
        nominations = [i for i, decision in enumerate(decisions) if decision.action is not Action.BIND]
        bindings = [i for i, decision in enumerate(decisions) if decision.action is Action.BIND]
        if bindings:
            bound = await self._instances.BindInstances(
                pb.BindInstancesRequest(bindings=[_binding(decisions[i]) for i in bindings])
            )
            results |= _paired(bindings, bound.results)
        if nominations:
            nominated = await self._instances.NominateInstances(
                pb.NominateInstancesRequest(nominations=[_nomination(decisions[i]) for i in nominations])
            )
            results |= _paired(nominations, nominated.results)
        return [results[position] for position in range(len(decisions))]


def _binding(decision: Decision) -> pb.Binding:
    return pb.Binding(
        instance=decision.instance.name,
        etag=decision.instance.etag,
        placement=(
            placement_to_proto(decision.placement, decision.predicted) if decision.placement else None
        ),
        explanation=_explanation(decision),
    )


def _nomination(decision: Decision) -> pb.Nomination:
    return pb.Nomination(
        instance=decision.instance.name,
        etag=decision.instance.etag,
        worker=decision.placement.worker if decision.placement else "",
        subordinates=decision.placement.subordinates if decision.placement else (),
        explanation=_explanation(decision),
    )


def _explanation(decision: Decision) -> Explanation:
    if decision.explanation is None:
        return decision.instance.explanation
    return explanation_to_proto(decision.explanation)


def _paired(positions: Sequence[int], results: Iterable[pb.InstanceResult]) -> dict[int, Committed]:
    """Results by the positions of their decisions."""
    paired = {
        positions[result.index]: Committed(
            instance=result.instance if result.HasField("instance") else None,
            error=from_status(result.status) if result.status.code else None,
        )
        for result in results
        if result.index < len(positions)
    }
    if len(paired) != len(positions):
        raise Internal(f"the registry answered {len(paired)} of {len(positions)} decisions")
    return paired
