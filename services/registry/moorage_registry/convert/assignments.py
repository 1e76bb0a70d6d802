"""What nodes should hold and run, as protos."""

from collections.abc import Sequence

from moorage.common.v1 import placement_pb2
from moorage.registry.v1 import model_pb2
from moorage.registry.v1 import worker_service_pb2 as pb
from moorage_common.core.names import artifact_name, instance_name, worker_name
from moorage_common.core.states import InstanceState
from moorage_common.rpc.enums import INSTANCE_STATE
from moorage_registry.convert.artifacts import files_to_proto
from moorage_registry.convert.json import from_json
from moorage_registry.convert.models import model_to_proto
from moorage_registry.core.assignments import AssignedInstance, AssignedPart, NodeAssignments
from moorage_registry.core.records import Artifact, Model


def assignments_to_proto(found: Sequence[NodeAssignments]) -> list[pb.DesiredNodeState]:
    """Returns the desired states of nodes, without their nonces. What many have alike is converted once."""
    convert = _Converter()
    return [
        pb.DesiredNodeState(
            instances=map(convert.instance, each.instances), copies=map(convert.copy, each.artifacts)
        )
        for each in found
    ]


class _Converter:
    """Converts what was read in one moment."""

    def __init__(self) -> None:
        self._models: dict[str, model_pb2.Model] = {}
        self._copies: dict[str, pb.CopyAssignment] = {}

    def instance(self, assigned: AssignedInstance) -> pb.InstanceAssignment:
        instance = assigned.instance
        stop = instance.state is InstanceState.STOPPING
        return pb.InstanceAssignment(
            instance=instance_name(instance.model_id, instance.id),
            uid=instance.uid,
            action=pb.INSTANCE_ACTION_STOP if stop else pb.INSTANCE_ACTION_RUN,
            model=self._model(assigned.model),
            artifact=artifact_name(assigned.artifact.id),
            entry_point=assigned.artifact.entry_point,
            placement=from_json(instance.placement, placement_pb2.Placement()),
            generation=instance.generation,
            members=map(_member, assigned.parts),
        )

    def copy(self, artifact: Artifact) -> pb.CopyAssignment:
        if artifact.uid not in self._copies:
            self._copies[artifact.uid] = _copy(artifact)
        return self._copies[artifact.uid]

    def _model(self, model: Model) -> model_pb2.Model:
        if model.uid not in self._models:
            self._models[model.uid] = model_to_proto(model)
        return self._models[model.uid]


def _member(part: AssignedPart) -> pb.InstanceMember:
    member = part.member
    return pb.InstanceMember(
        worker=worker_name(member.worker_id),
        rank=member.rank,
        agent_address=part.agent_address,
        state=INSTANCE_STATE.to_proto(member.state),
        endpoint=member.endpoint,
    )


def _copy(artifact: Artifact) -> pb.CopyAssignment:
    return pb.CopyAssignment(
        artifact=artifact_name(artifact.id),
        files=files_to_proto(artifact),
        read_from=NodeAssignments.readable_at(artifact),
    )
