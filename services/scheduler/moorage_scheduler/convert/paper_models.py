"""Models that are to be placed on a fleet on paper."""

from collections.abc import Container, Iterable

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from moorage.registry.v1 import artifact_pb2
from moorage.scheduler.v1 import simulation_pb2 as pb
from moorage_common.core.errors import ErrorReason, FailedPrecondition
from moorage_common.core.placement import ModelCategory
from moorage_common.core.states import EngineKind
from moorage_common.rpc.enums import ENGINE_KIND, MODEL_CATEGORY
from moorage_scheduler.convert.models import (
    category_from_proto,
    engine_from_proto,
    facts_from_proto,
    options_from_proto,
    selection_from_proto,
    strategy_from_proto,
    vllm_from_proto,
)
from moorage_scheduler.convert.problems import Problems
from moorage_scheduler.core.request import Facts, Request
from moorage_scheduler.core.sizes import LayerSizes, VllmSizes

MOST_REPLICAS = 20_000
"""Of all models of one request together."""
_MOST_BYTES = 2**48
"""256 TiB: more than any machine has, and little enough for sums of ten thousand such."""
_INTEGERS = (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64)


def replicas_of(model: pb.SimulatedModel) -> int:
    """Returns how many instances of a model are to be placed."""
    return model.replicas if model.HasField("replicas") else 1


def artifact_of(model: pb.SimulatedModel, artifact: artifact_pb2.Artifact | None) -> str:
    """Returns what workers know a model's files by."""
    return model.artifact or model.known_artifact or (artifact.name if artifact else "")


def request_on_paper(model: pb.SimulatedModel, artifact: artifact_pb2.Artifact | None) -> Request:
    """Returns one instance to place, without a seed.

    Args:
        model: As the request has it, without problems.
        artifact: What its source, or its known artifact, is. None: it says itself what it is.

    Raises:
        FailedPrecondition: Nothing is known of the artifact that could be placed.
    """
    facts, engine = _facts_and_engine(model, artifact)
    if facts is None or engine is None:
        raise FailedPrecondition(
            f"no engine is known that serves {model.source or model.known_artifact}",
            reason=ErrorReason.MODEL_FILE_INVALID,
        )
    return Request(
        model=model.name,
        seed="",
        facts=facts,
        artifact=artifact_of(model, artifact),
        artifact_bytes=model.artifact_size_bytes or (artifact.size_bytes if artifact else 0),
        local_path=model.local_path,
        engine=engine,
        engine_version=model.engine_version,
        options=options_from_proto(model.llama_cpp),
        vllm=vllm_from_proto(model.vllm),
        category=category_from_proto(model.category),
        selection=selection_from_proto(model.placement),
        strategy=strategy_from_proto(model.placement),
    )


def engine_of_sizes(model: pb.SimulatedModel) -> EngineKind:
    """Returns the engine of a model whose sizes are given: that which can do with them, if none is named."""
    if model.engine:
        return ENGINE_KIND.from_proto(model.engine)
    return EngineKind.LLAMA_CPP if model.sizes.block_weight_bytes else EngineKind.VLLM


def wished_engines(model: pb.SimulatedModel) -> Iterable[EngineKind]:
    """Returns the engines that a model may be served by, as far as is known before its source is looked at."""
    return (ENGINE_KIND.from_proto(model.engine),) if model.engine else tuple(EngineKind)


class ModelChecker:
    """Looks for what is wrong with models, one by one.

    Args:
        workers: The workers that there are.
        problems: Takes in what is wrong.
    """

    def __init__(self, *, workers: Container[str], problems: Problems) -> None:
        self._workers = workers
        self._problems = problems
        self._names: dict[str, str] = {}
        self._replicas = 0

    def check(self, model: pb.SimulatedModel, path: str) -> None:
        """Looks at a model.

        Args:
            model: As the request has it.
            path: Where in the request.
        """
        first = self._names.setdefault(model.name, path)
        if first != path:
            self._problems.add(f"{path}.name", f"{model.name} is given already, by {first}")
        before, self._replicas = self._replicas, self._replicas + replicas_of(model)
        if before <= MOST_REPLICAS < self._replicas:
            told = f"with this there are more than {MOST_REPLICAS:,} replicas in all"
            self._problems.add(f"{path}.replicas", told)
        if model.WhichOneof("facts_from") == "facts":
            self._check_facts(model, path)
        elif model.WhichOneof("facts_from") == "sizes":
            self._check_sizes(model, path)
        self._check_gpus(model, path)

    def _check_facts(self, model: pb.SimulatedModel, path: str) -> None:
        chosen = model.facts.WhichOneof("format")
        if chosen is None:
            self._problems.add(f"{path}.facts", "say neither what a GGUF file has nor what safetensors have")
        else:
            self._check_amounts(getattr(model.facts, chosen), f"{path}.facts.{chosen}")

    def _check_amounts(self, message: Message, path: str) -> None:
        for field, value in message.ListFields():
            if field.cpp_type not in _INTEGERS or field.message_type is not None:
                continue
            limit = _MOST_BYTES if field.name.endswith("bytes") else None
            for position, amount in enumerate(value if field.is_repeated else (value,)):
                at = f"{path}.{field.name}" + (f"[{position}]" if field.is_repeated else "")
                if amount < 0:
                    self._problems.add(at, "must not be negative")
                elif limit is not None and amount > limit:
                    self._problems.add(at, f"must be at most {limit}")

    def _check_sizes(self, model: pb.SimulatedModel, path: str) -> None:
        sizes, engine = model.sizes, engine_of_sizes(model)
        blocks, kept = len(sizes.block_weight_bytes), len(sizes.block_kv_bytes)
        if engine is EngineKind.LLAMA_CPP and not blocks:
            self._problems.add(
                f"{path}.sizes.block_weight_bytes", "must be told for llama.cpp, which deals out whole blocks"
            )
        if blocks and kept and kept != blocks:
            told = f"are of {kept} blocks, while {blocks} have weights"
            self._problems.add(f"{path}.sizes.block_kv_bytes", told)
        if engine is EngineKind.VLLM and not blocks and not sizes.weight_bytes:
            self._problems.add(f"{path}.sizes.weight_bytes", "must be told, or each block's weights")

    def _check_gpus(self, model: pb.SimulatedModel, path: str) -> None:
        policy = model.placement
        for position, gpu in enumerate(policy.gpus):
            if gpu.worker not in self._workers:
                at = f"{path}.placement.gpus[{position}].worker"
                self._problems.add(at, f"there is no {gpu.worker}")
        selected = len(selection_from_proto(policy).gpus)
        needed = replicas_of(model) * policy.gpus_per_replica
        if selected and needed > selected:
            told = (
                f"{replicas_of(model)} replicas of {policy.gpus_per_replica} GPUs each need {needed};"
                f" {selected} are selected"
            )
            self._problems.add(f"{path}.placement.gpus_per_replica", told)


def _facts_and_engine(
    model: pb.SimulatedModel, artifact: artifact_pb2.Artifact | None
) -> tuple[Facts | None, EngineKind | None]:
    if model.WhichOneof("facts_from") == "sizes":
        engine = engine_of_sizes(model)
        return (_layer_sizes(model) if engine is EngineKind.LLAMA_CPP else _vllm_sizes(model)), engine
    said = artifact.facts if artifact is not None else model.facts
    return facts_from_proto(said), engine_from_proto(model.engine, said)


def _layer_sizes(model: pb.SimulatedModel) -> LayerSizes:
    sizes = model.sizes
    return LayerSizes(
        block_weight_bytes=tuple(sizes.block_weight_bytes),
        output_bytes=sizes.output_bytes,
        token_embedding_bytes=sizes.token_embedding_bytes,
        block_kv_bytes=tuple(sizes.block_kv_bytes),
        kv_bytes_per_token_per_block=sizes.kv_bytes_per_token_per_block,
        gpu_compute_bytes=sizes.gpu_compute_bytes,
        ram_compute_bytes=sizes.ram_compute_bytes,
        gpu_overhead_bytes=sizes.gpu_overhead_bytes if sizes.HasField("gpu_overhead_bytes") else None,
        ram_overhead_bytes=sizes.ram_overhead_bytes if sizes.HasField("ram_overhead_bytes") else None,
        context_length=sizes.context_length,
        lora_bytes=sizes.lora_bytes,
        draft_bytes=sizes.draft_bytes,
        projector_bytes=sizes.projector_bytes,
        active_weight_bytes=sizes.active_weight_bytes,
        category=_category(sizes),
    )


def _vllm_sizes(model: pb.SimulatedModel) -> VllmSizes:
    sizes = model.sizes
    return VllmSizes(
        block_weight_bytes=tuple(sizes.block_weight_bytes),
        output_bytes=sizes.output_bytes,
        token_embedding_bytes=sizes.token_embedding_bytes,
        weight_bytes=sizes.weight_bytes,
        block_kv_bytes=tuple(sizes.block_kv_bytes),
        kv_bytes_per_token_per_block=sizes.kv_bytes_per_token_per_block,
        gpu_compute_bytes=sizes.gpu_compute_bytes,
        ram_compute_bytes=sizes.ram_compute_bytes,
        gpu_overhead_bytes=sizes.gpu_overhead_bytes if sizes.HasField("gpu_overhead_bytes") else None,
        ram_overhead_bytes=sizes.ram_overhead_bytes if sizes.HasField("ram_overhead_bytes") else None,
        block_count=sizes.block_count,
        attention_head_count=sizes.attention_head_count,
        kv_head_count=sizes.kv_head_count,
        vision_head_count=sizes.vision_head_count,
        vocabulary_size=sizes.vocabulary_size,
        quantization=sizes.quantization,
        context_length=sizes.context_length,
        lora_bytes=sizes.lora_bytes,
        draft_bytes=sizes.draft_bytes,
        projector_bytes=sizes.projector_bytes,
        active_weight_bytes=sizes.active_weight_bytes,
        category=_category(sizes),
    )


def _category(sizes: pb.ModelSizes) -> ModelCategory:
    return MODEL_CATEGORY.from_proto(sizes.category) if sizes.category else ModelCategory.LLM
