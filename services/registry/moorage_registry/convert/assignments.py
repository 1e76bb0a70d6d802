"""What a node should hold and run, as a proto."""

from moorage.common.v1 import placement_pb2
from moorage.registry.v1 import worker_service_pb2 as pb
from moorage_common.core.names import artifact_name, instance_name, worker_name
from moorage_common.core.states import InstanceState
from moorage_common.rpc.enums import INSTANCE_STATE
from moorage_registry.convert.artifacts import files_to_proto
from moorage_registry.convert.json import from_json
from moorage_registry.convert.models import model_to_proto
from moorage_registry.core.assignments import AssignedInstance, AssignedPart, NodeAssignments
from moorage_registry.core.records import Artifact


def assignments_to_proto(assignments: NodeAssignments) -> pb.DesiredNodeState:
    """Returns a node's desired state, without its nonce."""
    return pb.DesiredNodeState(
        instances=map(_instance, assignments.instances), copies=map(_copy, assignments.artifacts)
    )


def _instance(assigned: AssignedInstance) -> pb.InstanceAssignment:
    instance = assigned.instance
    stop = instance.state is InstanceState.STOPPING
    return pb.InstanceAssignment(
        instance=instance_name(instance.model_id, instance.id),
        uid=instance.uid,
        action=pb.INSTANCE_ACTION_STOP if stop else pb.INSTANCE_ACTION_RUN,
        model=model_to_proto(assigned.model),
        artifact=artifact_name(assigned.artifact.id),
        entry_point=assigned.artifact.entry_point,
        placement=from_json(instance.placement, placement_pb2.Placement()),
        generation=instance.generation,
        members=map(_member, assigned.parts),
    )


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
