"""What a node should hold and run, as a proto."""

from moorage.common.v1 import placement_pb2
from moorage.registry.v1 import worker_service_pb2 as pb
from moorage_common.core.names import artifact_name, instance_name
from moorage_common.core.states import InstanceState
from moorage_registry.convert.artifacts import files_to_proto
from moorage_registry.convert.json import from_json
from moorage_registry.convert.models import model_to_proto
from moorage_registry.core.assignments import AssignedInstance, NodeAssignments
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
    )


def _copy(artifact: Artifact) -> pb.CopyAssignment:
    return pb.CopyAssignment(
        artifact=artifact_name(artifact.id),
        files=files_to_proto(artifact),
        read_from=NodeAssignments.readable_at(artifact),
    )
