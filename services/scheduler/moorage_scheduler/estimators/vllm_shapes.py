"""The ways to put a model on a number of GPUs, and why there are none."""

from collections.abc import Iterator
from math import isqrt, prod

from moorage_common.core.placement import PlacementReason
from moorage_scheduler.core.explanation import Rejection
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.request import VllmOptions
from moorage_scheduler.core.text import count
from moorage_scheduler.estimators.vllm_cuts import Cuts, tensor_sizes

_SOME = 64
"""Up to how many GPUs the sizes that would do are listed in a remedy."""


def candidate_shapes(
    cuts: Cuts, options: VllmOptions, limit: int, *, pipelines: bool = True
) -> Iterator[ParallelShape]:
    """Yields the shapes that take no more than so many GPUs: fewest GPUs first, then fewest pipeline stages.

    Args:
        cuts: What limits the ways to cut the model.
        options: Sizes that are given in them are kept to.
        limit: How many GPUs there are.
        pipelines: Whether layers may be dealt out over stages where the options do not ask for it.

    """
    for gpus in range(1, limit + 1):
        yield from shapes_on(cuts, options, gpus, pipelines=pipelines)


def shapes_on(
    cuts: Cuts, options: VllmOptions, gpus: int, *, pipelines: bool = True
) -> tuple[ParallelShape, ...]:
    """Returns the shapes that take exactly so many GPUs, fewest pipeline stages first."""
    ranks, left = divmod(gpus, _copies(options))
    if left or not ranks:
        return ()
    tensors = [options.tensor_parallel_size] if options.tensor_parallel_size else _divisors(ranks)
    shapes = (
        ParallelShape(tensor=tensor, pipeline=ranks // tensor, data=_copies(options))
        for tensor in tensors
        if not ranks % tensor and not cuts.misfit(tensor)
    )
    return tuple(shape for shape in shapes if _allowed(cuts, options, shape.pipeline, pipelines=pipelines))


def refuse_sizes(cuts: Cuts, options: VllmOptions) -> Rejection | None:
    """Returns why sizes that were asked for are impossible, wherever the model is put. None: they are not."""
    tensor, pipeline = options.tensor_parallel_size, options.pipeline_parallel_size
    if tensor and (misfit := cuts.misfit(tensor)):
        return _impossible("a tensor parallel size that divides the model", f"{tensor}: {misfit}", cuts)
    if cuts.block_count and pipeline > cuts.block_count:
        return Rejection(
            reason=PlacementReason.PARALLEL_SIZE_IMPOSSIBLE,
            needed=f"at most {count(cuts.block_count, 'pipeline stage')}",
            available=str(pipeline),
            remedy=f"ask for a pipeline parallel size of at most {cuts.block_count}",
        )
    return None


def refuse_count(cuts: Cuts, options: VllmOptions, gpus: int) -> Rejection | None:
    """Returns why a model cannot be put on exactly so many GPUs. None: it can."""
    if refusal := refuse_sizes(cuts, options):
        return refusal
    if shapes_on(cuts, options, gpus):
        return None
    return _impossible(_wanted(options), f"{count(gpus, 'GPU')}: {_arithmetic(cuts, options, gpus)}", cuts)


def _divisors(number: int) -> list[int]:
    small = [divisor for divisor in range(1, isqrt(number) + 1) if number % divisor == 0]
    return sorted({*small, *(number // divisor for divisor in small)}, reverse=True)


def _copies(options: VllmOptions) -> int:
    return max(1, options.data_parallel_size)


def _allowed(cuts: Cuts, options: VllmOptions, pipeline: int, *, pipelines: bool) -> bool:
    if cuts.block_count and pipeline > cuts.block_count:
        return False
    if options.pipeline_parallel_size:
        return pipeline == options.pipeline_parallel_size
    return pipeline == 1 or pipelines


def _wanted(options: VllmOptions) -> str:
    tensor = options.tensor_parallel_size or "tensor"
    pipeline = options.pipeline_parallel_size or "pipeline"
    return f"{tensor} x {pipeline} x {_copies(options)} GPUs (tensor x pipeline x data)"


def _arithmetic(cuts: Cuts, options: VllmOptions, gpus: int) -> str:
    given = [options.tensor_parallel_size or 1, options.pipeline_parallel_size or 1, _copies(options)]
    taken = prod(given)
    if options.tensor_parallel_size and options.pipeline_parallel_size:
        return f"{' x '.join(map(str, given))} = {taken}"
    if gpus % taken:
        return f"{gpus} / {taken} leaves {gpus % taken}" if gpus > taken else f"{taken} are needed at least"
    left = gpus // taken
    if options.tensor_parallel_size:
        return f"{count(left, 'stage')} of {count(cuts.block_count, 'block')}"
    return cuts.misfit(left)


def _impossible(needed: str, available: str, cuts: Cuts) -> Rejection:
    sizes = tensor_sizes(cuts, _SOME)
    return Rejection(
        reason=PlacementReason.PARALLEL_SIZE_IMPOSSIBLE,
        needed=needed,
        available=available,
        remedy=f"layers can be cut over {', '.join(map(str, sizes))} GPUs" if sizes else "",
    )
