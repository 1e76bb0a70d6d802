"""Requests for placements, from models, artifacts and instances."""

from collections.abc import Iterable, Mapping

from moorage.common.v1 import engine_pb2, model_facts_pb2
from moorage.registry.v1 import model_pb2
from moorage_common.core.llama_cpp import DEFAULT_MICRO_BATCH
from moorage_common.core.placement import KvCacheType, ModelCategory, PlacementStrategy
from moorage_common.core.states import EngineKind
from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_common.modelfiles.safetensors_facts import SafetensorsFacts
from moorage_common.rpc.enums import (
    ACCELERATOR_KIND,
    ENGINE_KIND,
    FLASH_ATTENTION,
    KV_CACHE_TYPE,
    MODEL_CATEGORY,
    PLACEMENT_STRATEGY,
    VLLM_DTYPE,
)
from moorage_scheduler.core.request import Facts, GpuWish, LlamaCppOptions, Selection, VllmOptions

ENGINE_OF_FORMAT: Mapping[str, EngineKind] = {
    "gguf": EngineKind.LLAMA_CPP,
    "safetensors": EngineKind.VLLM,
}
"""The engine that serves a file format when the model names none."""


def facts_from_proto(facts: model_facts_pb2.ModelFacts) -> Facts | None:
    """Returns what is known of a model. None: nothing is."""
    match facts.WhichOneof("format"):
        case "gguf":
            return _gguf(facts.gguf)
        case "safetensors":
            return _safetensors(facts.safetensors)
        case None:
            return None


def _safetensors(facts: model_facts_pb2.SafetensorsFacts) -> SafetensorsFacts:
    return SafetensorsFacts(
        architecture=facts.architecture,
        model_type=facts.model_type,
        parameter_count=facts.parameter_count,
        total_tensor_bytes=facts.total_tensor_bytes,
        tensor_bytes_by_dtype=dict(facts.tensor_bytes_by_dtype),
        tower_bytes=facts.tower_bytes,
        expert_bytes=facts.expert_bytes,
        embedding_bytes=facts.embedding_bytes,
        dtype=facts.dtype,
        quantization=facts.quantization,
        quantization_bits=facts.quantization_bits,
        block_count=facts.block_count,
        hidden_size=facts.hidden_size,
        feed_forward_length=facts.feed_forward_length,
        head_count=facts.head_count,
        head_count_kv=facts.head_count_kv,
        head_size=facts.head_size,
        vision_head_count=facts.vision_head_count,
        vocabulary_size=facts.vocabulary_size,
        context_length=facts.context_length,
        sliding_window=facts.sliding_window,
        sliding_window_block_count=facts.sliding_window_block_count,
        attention_block_count=facts.attention_block_count,
        latent_values_per_token=facts.latent_values_per_token,
        expert_count=facts.expert_count,
        expert_used_count=facts.expert_used_count,
        category=MODEL_CATEGORY.from_proto(facts.category) if facts.category else ModelCategory.LLM,
        expert_feed_forward_length=facts.expert_feed_forward_length,
        expert_block_count=facts.expert_block_count,
        quantization_group_size=facts.quantization_group_size,
        recurrent_block_count=facts.recurrent_block_count,
        recurrent_state_bytes=facts.recurrent_state_bytes,
    )


def _gguf(facts: model_facts_pb2.GgufFacts) -> GgufFacts:
    blocks = facts.block_count
    key_elements, value_elements = _cache_elements(facts)
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
        own_embedding_length=facts.own_embedding_length,
        feed_forward_lengths=_per_block(facts.feed_forward_lengths, blocks),
        head_counts=_per_block(facts.head_counts, blocks),
        head_counts_kv=_per_block(facts.head_counts_kv, blocks),
        key_length=facts.key_length,
        value_length=facts.value_length,
        block_key_elements=key_elements,
        block_value_elements=value_elements,
        sliding_window=facts.sliding_window,
        sliding_window_blocks=_windows(facts),
        expert_count=facts.expert_count,
        expert_used_count=facts.expert_used_count,
        expert_feed_forward_length=facts.expert_feed_forward_length,
        shared_expert_feed_forward_length=facts.shared_expert_feed_forward_length,
        ungated_feed_forward=facts.ungated_feed_forward,
        fused_attention=facts.fused_attention,
        parallel_feed_forward=facts.parallel_feed_forward,
        post_normed=facts.post_normed,
        kv_lora_rank=facts.kv_lora_rank,
        key_length_mla=facts.key_length_mla,
        value_length_mla=facts.value_length_mla,
        block_state_bytes=_per_block(facts.block_state_bytes, blocks),
        recurrent_inner_length=facts.recurrent_inner_length,
        recurrent_state_length=facts.recurrent_state_length,
        recurrent_group_count=facts.recurrent_group_count,
        recurrent_head_count=facts.recurrent_head_count,
        recurrent_kernel_length=facts.recurrent_kernel_length,
        nextn_block_count=facts.nextn_block_count,
        block_bytes=_per_block(facts.block_bytes, blocks),
        block_repack_bytes=_per_block(facts.block_repack_bytes, blocks),
        block_expert_bytes=_per_block(facts.block_expert_bytes, blocks),
        largest_block_tensor_bytes=facts.largest_block_tensor_bytes,
        unmapped_bytes=facts.unmapped_bytes,
        output_bytes=facts.output_bytes,
        output_repack_bytes=facts.output_repack_bytes,
        token_embedding_bytes=facts.token_embedding_bytes,
        other_bytes=facts.other_bytes,
        tied_embedding=facts.tied_embedding,
        total_tensor_bytes=facts.total_tensor_bytes,
        projector_bytes=facts.projector_bytes,
        category=MODEL_CATEGORY.from_proto(facts.category) if facts.category else ModelCategory.LLM,
    )


def _cache_elements(facts: model_facts_pb2.GgufFacts) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Values of keys and of values that each block keeps for a token."""
    blocks = facts.block_count
    if facts.block_key_elements:
        return _per_block(facts.block_key_elements, blocks), _per_block(facts.block_value_elements, blocks)
    heads = _per_block(facts.head_counts_kv, blocks)
    # Latent attention in its compressed form has one head, whose value is a part of its key.
    values = [0 if facts.kv_lora_rank and count == 1 else count * facts.value_length for count in heads]
    return tuple(count * facts.key_length for count in heads), tuple(values)


def engine_from_proto(
    engine: engine_pb2.EngineKind.ValueType, facts: model_facts_pb2.ModelFacts
) -> EngineKind | None:
    """Returns the engine that is to serve a model. None: none is known that could."""
    if engine:
        return ENGINE_KIND.from_proto(engine)
    return ENGINE_OF_FORMAT.get(facts.WhichOneof("format") or "")


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
        flash_attention=(
            FLASH_ATTENTION.from_proto(options.flash_attention) if options.flash_attention else None
        ),
        micro_batch_size=options.micro_batch_size or DEFAULT_MICRO_BATCH,
        threads=options.threads,
        unified_kv_cache=options.unified_kv_cache,
        forbid_mmap=options.forbid_mmap,
    )


def vllm_from_proto(options: engine_pb2.VllmOptions) -> VllmOptions:
    """Returns how vLLM is to be started."""
    return VllmOptions(
        gpu_memory_utilization=options.gpu_memory_utilization or None,
        max_model_len=options.max_model_len,
        tensor_parallel_size=options.tensor_parallel_size,
        pipeline_parallel_size=options.pipeline_parallel_size,
        data_parallel_size=options.data_parallel_size or 1,
        dtype=VLLM_DTYPE.from_proto(options.dtype) if options.dtype else None,
        kv_cache_dtype=VLLM_DTYPE.from_proto(options.kv_cache_dtype) if options.kv_cache_dtype else None,
        max_num_seqs=options.max_num_seqs or 256,
        max_num_batched_tokens=options.max_num_batched_tokens or 2048,
        enforce_eager=options.enforce_eager,
        text_only=options.text_only,
        host_kv_cache_bytes=options.host_kv_cache_bytes,
    )


def category_from_proto(category: engine_pb2.ModelCategory.ValueType) -> ModelCategory | None:
    """Returns what a model is for. None: as its facts say."""
    return MODEL_CATEGORY.from_proto(category) if category else None


def selection_from_proto(policy: model_pb2.PlacementPolicy) -> Selection:
    """Returns what a model wishes for."""
    return Selection(
        workers=frozenset(policy.workers),
        labels=dict(policy.worker_labels),
        gpus=gpus_from_proto(policy.gpus),
        gpus_per_replica=policy.gpus_per_replica,
        primary_worker=policy.primary_worker,
        may_distribute=not policy.forbid_distributed,
    )


def gpus_from_proto(gpus: Iterable[model_pb2.GpuSelector]) -> frozenset[GpuWish]:
    """Returns the GPUs that were chosen by hand."""
    return frozenset(
        GpuWish(
            worker=gpu.worker,
            uuid=gpu.uuid,
            kind=ACCELERATOR_KIND.from_proto(gpu.position.kind) if gpu.HasField("position") else None,
            index=gpu.position.index,
        )
        for gpu in gpus
    )


def strategy_from_proto(policy: model_pb2.PlacementPolicy) -> PlacementStrategy | None:
    """Returns which feasible worker a model prefers. None: it does not say."""
    return PLACEMENT_STRATEGY.from_proto(policy.strategy) if policy.strategy else None


def _windows(facts: model_facts_pb2.GgufFacts) -> tuple[bool, ...]:
    return tuple(map(bool, _per_block(facts.sliding_window_blocks, facts.block_count)))


def _per_block(values: Iterable[int], blocks: int) -> tuple[int, ...]:
    """One value per block, whatever an older inspection left out or a newer one added."""
    given = [max(0, value) for value in values][:blocks]
    return (*given, *[0] * (blocks - len(given)))
