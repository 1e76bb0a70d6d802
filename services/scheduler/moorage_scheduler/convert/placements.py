"""Placements that were recorded earlier, from protos."""

from moorage.common.v1 import placement_pb2 as pb
from moorage_common.core.placement import PlacementMode
from moorage_common.core.states import EngineKind
from moorage_common.rpc.enums import ENGINE_KIND, MEMORY_PART, PLACEMENT_MODE
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.request import Claim, Placement


def placement_from_proto(placement: pb.Placement) -> Placement | None:
    """Returns where an instance is. None: it was placed before placements said how."""
    if not placement.mode:
        return None
    return Placement(
        worker=placement.worker,
        subordinates=tuple(placement.subordinates),
        claims=tuple(map(_claim, placement.claims)),
        engine=ENGINE_KIND.from_proto(placement.engine) if placement.engine else EngineKind.LLAMA_CPP,
        engine_version=placement.engine_version,
        mode=PlacementMode(PLACEMENT_MODE.from_proto(placement.mode)),
        gpu_layers=placement.gpu_layers,
        total_layers=placement.total_layers,
        context_length=placement.context_length,
        score=placement.score,
        parallel=_shape(placement.parallel) if placement.HasField("parallel") else None,
    )


def _claim(claim: pb.MemoryClaim) -> Claim:
    return Claim(
        worker=claim.worker,
        pool=claim.pool,
        parts={MEMORY_PART.from_proto(part.part): part.size_bytes for part in claim.parts},
        layers=claim.layers,
    )


def _shape(shape: pb.ParallelShape) -> ParallelShape:
    return ParallelShape(tensor=shape.tensor, pipeline=shape.pipeline, data=shape.data)
