"""How far a drain is, as a proto."""

from moorage.registry.v1 import worker_service_pb2 as pb
from moorage_common.core.errors import MoorageError
from moorage_common.core.names import instance_name
from moorage_common.rpc.enums import INSTANCE_STATE, EnumMap
from moorage_common.rpc.status import to_status
from moorage_registry.convert.json import error_to_proto
from moorage_registry.convert.workers import worker_to_proto
from moorage_registry.core.drains import Draining, DrainProgress, DrainStep

_STEP = EnumMap(pb.DrainStep, DrainStep)


def progress_to_proto(progress: DrainProgress) -> pb.DrainWorkerResponse:
    """Returns what a drained worker still holds."""
    return pb.DrainWorkerResponse(
        worker=worker_to_proto(progress.view), instances=map(_draining, progress.left)
    )


def _draining(left: Draining) -> pb.DrainingInstance:
    obstacle = left.obstacle
    return pb.DrainingInstance(
        instance=instance_name(left.instance.model_id, left.instance.id),
        state=INSTANCE_STATE.to_proto(left.instance.state),
        step=_STEP.to_proto(left.step),
        replacements=[instance_name(each.model_id, each.id) for each in left.replacements],
        obstacle=to_status(obstacle) if isinstance(obstacle, MoorageError) else error_to_proto(obstacle),
    )
