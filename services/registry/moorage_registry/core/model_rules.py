"""What of a model contradicts itself. Every contradiction is told at once."""

from collections.abc import Iterator

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from moorage_common.core.errors import FieldViolation, InvalidArgument
from moorage_common.core.names import model_name
from moorage_common.core.states import EngineKind
from moorage_registry.core.records import Model
from moorage_registry.core.selections import GpuSelection, selection_of


def check_model(model: Model) -> None:
    """Checks that what a user wants of a model can be meant.

    Raises:
        InvalidArgument: It contradicts itself; every contradiction is listed.
    """
    selection = selection_of(model.placement)
    violations = [
        *_engine(model),
        *_gpus(model, selection),
        *_replicas(model, selection),
        *_distribution(model, selection),
        *_shape(model, selection),
    ]
    if violations:
        said = "; ".join(f"{violation.field} {violation.description}" for violation in violations)
        raise InvalidArgument(f"{model_name(model.id)} contradicts itself: {said}", violations=violations)


def _engine(model: Model) -> Iterator[FieldViolation]:
    if model.llama_cpp and model.engine is EngineKind.VLLM:
        yield _wrong("llama_cpp", "is for llama.cpp, but the engine is VLLM")
    if model.vllm and model.engine is EngineKind.LLAMA_CPP:
        yield _wrong("vllm", "is for vLLM, but the engine is LLAMA_CPP")
    if model.llama_cpp and model.vllm and model.engine is None:
        yield _wrong("vllm", "stands beside llama_cpp, but one engine serves a model: leave one of them out")
    if model.engine_version and not _is_version(model.engine_version):
        yield _wrong(
            "engine_version", 'is neither a version nor conditions on one (PEP 440) such as ">=0.30,<0.33"'
        )


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        try:
            return len(SpecifierSet(text)) > 0
        except InvalidSpecifier:
            return False
    return True


def _gpus(model: Model, selection: GpuSelection) -> Iterator[FieldViolation]:
    workers = frozenset(model.placement.get("workers", ()))
    seen: dict[object, int] = {}
    for index, gpu in enumerate(selection.gpus):
        if workers and gpu.worker not in workers:
            yield _wrong(f"placement.gpus[{index}].worker", "is not among placement.workers")
        first = seen.setdefault(gpu.identity, index)
        if first != index:
            yield _wrong(f"placement.gpus[{index}]", f"is the same GPU as gpus[{first}]")
    if selection.gpus and model.llama_cpp.get("gpu_layers") == 0:
        yield _wrong("llama_cpp.gpu_layers", "is 0, but placement.gpus chooses GPUs, which would not be used")


def _replicas(model: Model, selection: GpuSelection) -> Iterator[FieldViolation]:
    each, replicas = selection.per_replica, max(1, model.replicas)
    there = len({gpu.identity for gpu in selection.gpus})
    if each and not there:
        yield _wrong(
            "placement.gpus_per_replica", "says how many of placement.gpus a replica uses, but there are none"
        )
    elif each * replicas > there:
        yield _wrong(
            "placement.gpus_per_replica",
            f"is too much: {each} x {replicas} replicas = {each * replicas} GPUs, and placement.gpus has {there}",
        )


def _distribution(model: Model, selection: GpuSelection) -> Iterator[FieldViolation]:
    placement = model.placement
    primary, workers = placement.get("primary_worker"), frozenset(placement.get("workers", ()))
    if primary and workers and primary not in workers:
        yield _wrong("placement.primary_worker", "is not among placement.workers")
    if primary and selection.gpus and primary not in selection.workers:
        yield _wrong("placement.primary_worker", "has none of placement.gpus")
    if not placement.get("forbid_distributed"):
        return
    if primary:
        yield _wrong(
            "placement.primary_worker",
            "leads an instance over several workers, which placement.forbid_distributed excludes",
        )
    if selection.needed > selection.most_on_one_worker > 0:
        yield _wrong(
            "placement.forbid_distributed",
            f"excludes what placement.gpus asks for: a replica uses {selection.needed} of them,"
            f" and no worker has more than {selection.most_on_one_worker}",
        )


def _shape(model: Model, selection: GpuSelection) -> Iterator[FieldViolation]:
    """The parallel sizes against the number of GPUs that each replica is to use."""
    sizes = [model.vllm.get(f"{name}_parallel_size", 0) for name in ("tensor", "pipeline", "data")]
    tensor, pipeline, data = sizes
    gpus = selection.needed
    if not gpus or not any(sizes):
        return
    made = max(1, tensor) * max(1, pipeline) * max(1, data)
    whole = bool(tensor and pipeline)
    if made == gpus if whole else gpus % made == 0:
        return
    product = " x ".join(str(size) for size in sizes if size)
    asked = "placement.gpus_per_replica" if selection.per_replica else "all of placement.gpus"
    yield _wrong(
        "vllm",
        f"asks for parallel sizes that make {product} = {made} GPUs{'' if whole else ' or a multiple'},"
        f" but a replica uses {gpus} ({asked})",
    )


def _wrong(field: str, description: str) -> FieldViolation:
    return FieldViolation(f"model.{field}", description)
