"""Requests for placements, from models, artifacts and instances."""

from collections.abc import Iterable, Mapping

from moorage.common.v1 import engine_pb2, model_facts_pb2
from moorage.registry.v1 import artifact_pb2, model_pb2
from moorage_common.core.placement import KvCacheType, PlacementStrategy
from moorage_common.core.states import EngineKind
from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_common.rpc.enums import ENGINE_KIND, KV_CACHE_TYPE, PLACEMENT_STRATEGY
from moorage_scheduler.core.request import LlamaCppOptions, Selection

ENGINE_OF_FORMAT: Mapping[str, EngineKind] = {"gguf": EngineKind.LLAMA_CPP}
"""The engine that serves a file format when the model names none."""


def facts_from_proto(artifact: artifact_pb2.Artifact) -> GgufFacts | None:
    """Returns what is known of an artifact's model. None: nothing is."""
    if artifact.facts.WhichOneof("format") != "gguf":
        return None
    facts = artifact.facts.gguf
    blocks = facts.block_count
    return GgufFacts(
        architecture=facts.architecture,
        model_name=facts.model_name,
        parameter_count=facts.parameter_count,
        quantization=facts.quantization,
        file_type="",
        block_count=blocks,
        context_length=facts.context_length,
        embedding_length=facts.embedding_length,
        vocabulary_size=facts.vocabulary_size,
        feed_forward_lengths=_per_block(facts.feed_forward_lengths, blocks),
        head_counts=_per_block(facts.head_counts, blocks),
        head_counts_kv=_per_block(facts.head_counts_kv, blocks),
        key_length=facts.key_length,
        value_length=facts.value_length,
        sliding_window=facts.sliding_window,
        sliding_window_blocks=_windows(facts),
        expert_count=facts.expert_count,
        expert_used_count=facts.expert_used_count,
        expert_feed_forward_length=facts.expert_feed_forward_length,
        kv_lora_rank=facts.kv_lora_rank,
        block_bytes=_per_block(facts.block_bytes, blocks),
        block_repack_bytes=_per_block(facts.block_repack_bytes, blocks),
        output_bytes=facts.output_bytes,
        output_repack_bytes=facts.output_repack_bytes,
        token_embedding_bytes=facts.token_embedding_bytes,
        other_bytes=facts.other_bytes,
        tied_embedding=facts.tied_embedding,
        total_tensor_bytes=facts.total_tensor_bytes,
    )


def engine_from_proto(
    engine: engine_pb2.EngineKind.ValueType, artifact: artifact_pb2.Artifact
) -> EngineKind | None:
    """Returns the engine that is to serve an artifact. None: none is known that could."""
    if engine:
        return ENGINE_KIND.from_proto(engine)
    return ENGINE_OF_FORMAT.get(artifact.facts.WhichOneof("format") or "")


def options_from_proto(options: engine_pb2.LlamaCppOptions) -> LlamaCppOptions:
    """Returns how llama.cpp is to be started."""
    return LlamaCppOptions(
        context_length=options.context_length,
        parallel_slots=options.parallel_slots or 1,
        gpu_layers=options.gpu_layers if options.HasField("gpu_layers") else None,
        kv_cache_type=(
            KV_CACHE_TYPE.from_proto(options.kv_cache_type) if options.kv_cache_type else KvCacheType.F16
        ),
        forbid_cpu_offload=options.forbid_cpu_offload,
    )


def selection_from_proto(policy: model_pb2.PlacementPolicy) -> Selection:
    """Returns which workers a model wishes for."""
    return Selection(workers=frozenset(policy.workers), labels=dict(policy.worker_labels))


def strategy_from_proto(policy: model_pb2.PlacementPolicy) -> PlacementStrategy | None:
    """Returns which feasible worker a model prefers. None: it does not say."""
    return PLACEMENT_STRATEGY.from_proto(policy.strategy) if policy.strategy else None


def _windows(facts: model_facts_pb2.GgufFacts) -> tuple[bool, ...]:
    return tuple(map(bool, _per_block(facts.sliding_window_blocks, facts.block_count)))


def _per_block(values: Iterable[int], blocks: int) -> tuple[int, ...]:
    """One value per block, whatever an older inspection left out or a newer one added."""
    given = [max(0, value) for value in values][:blocks]
    return (*given, *[0] * (blocks - len(given)))
