"""The answer in one sentence."""

from collections.abc import Sequence

from moorage_common.core.placement import PlacementReason, Verdict
from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.core.explanation import ReasonCount, Rejection, WorkerExplanation
from moorage_scheduler.core.request import Placement
from moorage_scheduler.core.text import amount, count

PHRASES = {
    PlacementReason.WORKER_NOT_SELECTED: "not selected",
    PlacementReason.WORKER_UNKNOWN: "unknown",
    PlacementReason.WORKER_NOT_READY: "not ready",
    PlacementReason.WORKER_CORDONED: "cordoned",
    PlacementReason.OS_UNSUPPORTED: "on an operating system that the engine does not run on",
    PlacementReason.ARCHITECTURE_UNSUPPORTED: "on a CPU that the engine does not run on",
    PlacementReason.ACCELERATOR_UNSUPPORTED: "without an accelerator that the engine computes on",
    PlacementReason.ENGINE_NOT_INSTALLED: "without the engine",
    PlacementReason.INSUFFICIENT_GPU_MEMORY: "short of GPU memory",
    PlacementReason.INSUFFICIENT_RAM: "short of RAM",
    PlacementReason.WORKER_UNREACHABLE: "unreachable",
    PlacementReason.WORKER_DRAINING: "being drained",
    PlacementReason.WORKER_MAINTENANCE: "under maintenance",
    PlacementReason.ENGINE_VERSION_UNSUPPORTED: "with other versions of the engine only",
    PlacementReason.COMPUTE_CAPABILITY_TOO_LOW: "with cards that are too old for the model's numbers",
    PlacementReason.DRIVER_TOO_OLD: "with a driver that is too old",
    PlacementReason.SOURCE_NOT_ON_WORKER: "without the model's local path",
    PlacementReason.INSUFFICIENT_DISK: "short of disk room",
    PlacementReason.GPU_NOT_SELECTED: "without a selected GPU",
    PlacementReason.GPU_UNKNOWN: "without a GPU that was selected",
    PlacementReason.DISTRIBUTED_VLLM_EXCLUSIVE: "serving another distributed vLLM instance",
    PlacementReason.PARALLEL_SIZE_IMPOSSIBLE: "that cannot cut the model",
    PlacementReason.INSUFFICIENT_GPUS: "with too few GPUs",
    PlacementReason.MODEL_UNSUPPORTED: "whose engine does not read the model",
    PlacementReason.DISTRIBUTION_UNSUPPORTED: "whose engine cannot work with other workers",
    PlacementReason.ENGINE_VERSIONS_DIFFER: "with other versions of the engine than workers beside them",
}


def placed(placement: Placement, feasible: int) -> str:
    """The sentence for a placement; so many workers could have taken it alone."""
    cards = len({(claim.worker, claim.pool) for claim in placement.claims if claim.pool != RAM})
    held = amount(sum(claim.size_bytes for claim in placement.claims))
    others = len(placement.subordinates)
    where = f"{placement.worker} with {count(others, 'other worker')}" if others else placement.worker
    could = "" if others else f"; {count(feasible, 'worker')} could take it"
    return f"{where}: {_layers(placement, cards)}, {held}{could}"


def not_placed(
    verdict: Verdict,
    counts: Sequence[ReasonCount],
    workers: Sequence[WorkerExplanation],
) -> str:
    """The sentence for what goes nowhere."""
    if not counts:
        return "there are no workers"
    head = "fits no worker, even an empty one" if verdict is Verdict.NEVER_FITS else "fits no worker now"
    why = ", ".join(f"{count(item.worker_count, 'worker')} {PHRASES[item.reason]}" for item in counts)
    closest = next((worker for worker in workers if worker.rejections), None)
    remedy = closest.rejections[0].remedy if closest else ""
    hint = f". {closest.worker}: {remedy}" if closest and remedy else ""
    return f"{head}: {why}{hint}"


def impossible(rejections: Sequence[Rejection]) -> str:
    """The sentence for what could go nowhere, whatever workers have."""
    why = "; ".join(f"needs {item.needed}, and it is {item.available}" for item in rejections)
    return f"can go nowhere: {why}. {rejections[0].remedy}"


def _layers(placement: Placement, cards: int) -> str:
    total, on_gpus = placement.total_layers, placement.gpu_layers
    if on_gpus == 0:
        return f"{count(total, 'layer')} on the CPU"
    where = count(cards, "GPU") if cards else "the GPU's unified memory"
    if on_gpus == total:
        return f"{count(total, 'layer')} on {where}"
    return f"{on_gpus} of {count(total, 'layer')} on {where}, the others in RAM"
