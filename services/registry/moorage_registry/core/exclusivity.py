"""Each worker takes part in at most one distributed vLLM instance.

It counts from the claim until every member has confirmed that it stopped. An instance on one worker does not count, and
neither does another engine's.
"""

from collections.abc import Iterable, Mapping

from moorage_common.core.errors import ErrorReason, FailedPrecondition, FieldViolation
from moorage_common.core.names import worker_name
from moorage_registry.core.selections import GpuSelection

RULE = "each worker can serve only one distributed vLLM instance at a time"


def check_free(workers: Iterable[str], holders: Mapping[str, str]) -> None:
    """Checks that workers can take part in a distributed vLLM instance.

    Args:
        workers: Their ids, the primary first.
        holders: The names of the distributed vLLM instances that workers take part in, by the workers' ids.

    Raises:
        FailedPrecondition: Some do already; every one is listed (DISTRIBUTED_VLLM_EXCLUSIVE).
    """
    taken = [(worker_name(worker), holders[worker]) for worker in workers if worker in holders]
    if not taken:
        return
    worker, instance = taken[0]
    raise FailedPrecondition(
        f"{RULE}; {worker} already serves {instance}",
        reason=ErrorReason.DISTRIBUTED_VLLM_EXCLUSIVE,
        remedy="Stop that instance, or choose other workers.",
        metadata={"worker": worker, "instance": instance},
        violations=[FieldViolation(name, f"already serves {other}") for name, other in taken],
    )


def check_selection(selection: GpuSelection, holders: Mapping[str, str]) -> None:
    """Checks that a vLLM instance on GPUs chosen by hand need not share a worker with another distributed one.

    Args:
        selection: The GPUs.
        holders: As in `check_free`.

    Raises:
        FailedPrecondition: It must be distributed, and what is left of the chosen workers has too few GPUs.
    """
    workers = sorted(worker.removeprefix("workers/") for worker in selection.workers)
    busy = {worker_name(worker) for worker in workers if worker in holders}
    if selection.needed > max(selection.most_on_one_worker, selection.without(busy)):
        check_free(workers, holders)
