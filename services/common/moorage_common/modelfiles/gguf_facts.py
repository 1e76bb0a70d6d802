"""What the headers of a GGUF model, whole or in shards, say about it: everything that a placement needs."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from moorage_common.core.errors import ErrorReason, FailedPrecondition
from moorage_common.core.placement import ModelCategory
from moorage_common.modelfiles.architectures import ARCHITECTURES, ENCODERS, RECURRENT
from moorage_common.modelfiles.gguf_attention import attention_of, cached_blocks
from moorage_common.modelfiles.gguf_cursor import invalid
from moorage_common.modelfiles.gguf_header import GgufHeader, SkippedArray, TensorInfo
from moorage_common.modelfiles.gguf_keys import ModelKeys
from moorage_common.modelfiles.gguf_recurrence import recurrences_of
from moorage_common.modelfiles.gguf_weights import Weights
from moorage_common.modelfiles.tensor_types import FILE_TYPES

_RANKING_POOL = 4
_NORMS_BEFORE = ("attn_norm.", "attn_norm_2.")
"""Of what a block reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufFacts:
    """The facts of one model, summed over its shards."""

    architecture: str
    """As llama.cpp names it, e.g. ``llama``."""
    model_name: str
    """What the file calls the model. Empty: nothing."""
    parameter_count: int
    quantization: str
    """The tensor type that most weight bytes have, e.g. ``Q4_K``."""
    file_type: str
    """The recipe that the file was quantised to, e.g. ``Q4_K_M``. Empty: not given."""
    block_count: int
    context_length: int
    """Context that the model was trained for, in tokens."""
    embedding_length: int
    vocabulary_size: int
    feed_forward_lengths: tuple[int, ...]
    """Per block."""
    head_counts: tuple[int, ...]
    """Per block. 0: the block has no attention."""
    head_counts_kv: tuple[int, ...]
    """Per block. 0: the block keeps no keys and values."""
    key_length: int
    """Values in one key vector."""
    value_length: int
    """Values in one value vector."""
    block_key_elements: tuple[int, ...]
    """Values of keys that the cache holds for one token, per block. 0: the block keeps none."""
    block_value_elements: tuple[int, ...]
    """As `block_key_elements`, of values."""
    sliding_window: int
    """Tokens that a block with a sliding window attends to. 0: there is no such block."""
    sliding_window_blocks: tuple[bool, ...]
    """Which blocks have the sliding window. Empty: none."""
    expert_count: int
    """0: not a mixture of experts."""
    expert_used_count: int
    expert_feed_forward_length: int
    """Width of one expert's feed-forward layer. 0: not given."""
    shared_expert_feed_forward_length: int
    """Width of the experts that every token uses, all together. 0: there are none."""
    ungated_feed_forward: bool
    """Whether feed-forward layers, or experts, have no gate."""
    fused_attention: bool
    """Whether queries, keys and values come out of one matrix."""
    parallel_feed_forward: bool
    """Whether a block's feed-forward layer reads what its attention reads, and not its result."""
    post_normed: bool
    """Whether attention and feed-forward layers read the state itself, and what they make of it is normed."""
    kv_lora_rank: int
    """Values in the compressed key/value vector of multi-head latent attention. 0: not used."""
    key_length_mla: int
    """Values in one head's key, once it is no longer compressed. 0: no latent attention."""
    value_length_mla: int
    """As `key_length_mla`, of values."""
    block_state_bytes: tuple[int, ...]
    """Bytes of one slot's recurrent state, per block. 0: the block has none."""
    recurrent_inner_length: int
    """Width that recurrent blocks compute in. 0: there are none."""
    recurrent_state_length: int
    """State per channel of it; of a delta rule, the length of a key."""
    recurrent_group_count: int
    recurrent_head_count: int
    recurrent_kernel_length: int
    """Tokens that a recurrent block's convolution sees. 0: it has none."""
    nextn_block_count: int
    """How many of the last blocks only guess tokens further ahead. llama.cpp does not load them."""
    block_bytes: tuple[int, ...]
    """Bytes of weights, per block."""
    block_repack_bytes: tuple[int, ...]
    """Bytes of the matrices that llama.cpp holds a second time when they are on the CPU, per block."""
    block_expert_bytes: tuple[int, ...]
    """Bytes of the experts' matrices, per block. 0: the block has none."""
    largest_block_tensor_bytes: int
    """Bytes of the largest tensor of any block."""
    unmapped_bytes: int
    """Of what llama.cpp holds a second time on the CPU: bytes that it need not keep mapped, at the ends of files."""
    output_bytes: int
    """Bytes of the output norm and head, without a tied head."""
    output_repack_bytes: int
    """As `block_repack_bytes`, of the output head."""
    token_embedding_bytes: int
    other_bytes: int
    """Bytes of every other tensor."""
    tied_embedding: bool
    """Whether the token embedding is the output head, too."""
    total_tensor_bytes: int
    """Without the projector's."""
    projector_bytes: int
    """Bytes of a multimodal projector that is loaded beside the model. 0: there is none."""
    category: ModelCategory


def gguf_facts(headers: Sequence[GgufHeader]) -> GgufFacts:
    """Sums up the headers of one model.

    Args:
        headers: Of every shard, in order, or of the one file when there are no shards; and of a multimodal projector
            that goes with it, if there is one.

    Raises:
        FailedPrecondition: MODEL_FILE_INVALID or ARCHITECTURE_UNSUPPORTED, with what was read.
    """
    projectors = [header for header in headers[1:] if _is_projector(header)]
    headers = [header for header in headers if header not in projectors]
    _check_shards(headers)
    first = headers[0]
    keys = ModelKeys(first.file_name, first.metadata)
    _check_kind(first, keys.architecture)
    tensors = _all_tensors(headers)
    embedding = [tensor for tensor in tensors if tensor.name == "token_embd.weight"]
    has_head = any(tensor.name == "output.weight" for tensor in tensors)
    tied = bool(embedding) and not has_head and keys.architecture not in ENCODERS
    loaded = keys.block_count - keys.nextn_block_count
    weights = Weights(block_count=keys.block_count, loaded_blocks=loaded, headers=headers, tied=tied)
    recurrences = recurrences_of(keys)
    attention = attention_of(
        keys,
        cached=set(cached_blocks(keys)) - recurrences.without_attention,
        indexed=_blocks_with(weights, "indexer."),
    )
    return GgufFacts(
        architecture=keys.architecture,
        model_name=keys.text("general.name"),
        parameter_count=sum(tensor.elements for tensor in tensors),
        quantization=_dominant_type(tensors),
        file_type=FILE_TYPES.get(keys.number("general.file_type", default=-1, at_least=-1), ""),
        block_count=keys.block_count,
        context_length=keys.model_number("context_length", at_least=1),
        embedding_length=keys.model_number("embedding_length", at_least=1),
        vocabulary_size=_vocabulary_size(keys, embedding),
        feed_forward_lengths=keys.feed_forward_lengths(),
        head_counts=attention.head_counts,
        head_counts_kv=attention.head_counts_kv,
        key_length=attention.key_length,
        value_length=attention.value_length,
        block_key_elements=attention.block_key_elements,
        block_value_elements=attention.block_value_elements,
        sliding_window=attention.sliding_window,
        sliding_window_blocks=attention.sliding_window_blocks,
        expert_count=keys.model_number("expert_count", default=0),
        expert_used_count=max(keys.per_block("expert_used_count", default=(0,))),
        expert_feed_forward_length=max(keys.expert_feed_forward_lengths()),
        shared_expert_feed_forward_length=_rows(tensors, "ffn_up_shexp.weight"),
        ungated_feed_forward=_is_ungated(keys, weights, tensors),
        fused_attention=keys.architecture not in RECURRENT and bool(_blocks_with(weights, "attn_qkv.weight")),
        parallel_feed_forward=_is_parallel(keys, weights),
        post_normed=not any(_blocks_with(weights, norm) for norm in _NORMS_BEFORE),
        kv_lora_rank=attention.kv_lora_rank,
        key_length_mla=attention.key_length_mla,
        value_length_mla=attention.value_length_mla,
        block_state_bytes=tuple(
            recurrences.state_bytes if block in recurrences.blocks else 0 for block in range(keys.block_count)
        ),
        recurrent_inner_length=recurrences.inner_length,
        recurrent_state_length=recurrences.state_length,
        recurrent_group_count=recurrences.group_count,
        recurrent_head_count=recurrences.head_count,
        recurrent_kernel_length=recurrences.kernel_length,
        nextn_block_count=keys.nextn_block_count,
        block_bytes=tuple(weights.blocks),
        block_repack_bytes=tuple(weights.block_repacks),
        block_expert_bytes=tuple(weights.block_experts),
        largest_block_tensor_bytes=weights.largest_block_tensor,
        unmapped_bytes=weights.unmapped,
        output_bytes=weights.output,
        output_repack_bytes=weights.output_repack,
        token_embedding_bytes=weights.token_embedding,
        other_bytes=weights.other,
        tied_embedding=tied,
        total_tensor_bytes=sum(tensor.size_bytes for tensor in tensors),
        projector_bytes=sum(tensor.size_bytes for header in projectors for tensor in header.tensors),
        category=_category(keys),
    )


def _is_projector(header: GgufHeader) -> bool:
    return header.metadata.get("general.architecture") == "clip"


def _check_shards(headers: Sequence[GgufHeader]) -> None:
    for index, header in enumerate(headers):
        keys = ModelKeys(header.file_name, header.metadata)
        count = max(1, keys.number("split.count", default=1))
        number = keys.number("split.no", default=0)
        if count != len(headers):
            raise invalid(header.file_name, f"it says it is one of {count} shards, there are {len(headers)}")
        if number != index:
            raise invalid(header.file_name, f"it says it is shard {number + 1}, its name says {index + 1}")
    expected = ModelKeys(headers[0].file_name, headers[0].metadata).number(
        "split.tensors.count", default=-1, at_least=-1
    )
    found = sum(len(header.tensors) for header in headers)
    if len(headers) > 1 and expected not in {-1, found}:
        raise invalid(headers[0].file_name, f"its shards hold {found} tensors, should hold {expected}")


def _check_kind(header: GgufHeader, architecture: str) -> None:
    kind = header.metadata.get("general.type", "model")
    if kind != "model":
        raise invalid(header.file_name, f"it holds the kind {kind!r}, not a model")
    if architecture not in ARCHITECTURES:
        raise FailedPrecondition(
            f"{header.file_name} has the architecture {architecture[:80]!r}, which llama.cpp does not serve",
            reason=ErrorReason.ARCHITECTURE_UNSUPPORTED,
            metadata={"file": header.file_name, "architecture": architecture[:80]},
        )


def _all_tensors(headers: Sequence[GgufHeader]) -> list[TensorInfo]:
    tensors = [tensor for header in headers for tensor in header.tensors]
    if not tensors:
        raise invalid(headers[0].file_name, "it holds no tensors")
    twice = [name for name, count in Counter(tensor.name for tensor in tensors).items() if count > 1]
    if twice:
        raise invalid(headers[0].file_name, f"tensor {twice[0]!r} is in two of its shards")
    return tensors


def _dominant_type(tensors: Iterable[TensorInfo]) -> str:
    """The type with the most bytes. Norms and biases stay in F32 whatever the rest, but are few bytes."""
    size_by_type: Counter[str] = Counter()
    for tensor in tensors:
        size_by_type[tensor.type.name] += tensor.size_bytes
    return size_by_type.most_common(1)[0][0]


def _vocabulary_size(keys: ModelKeys, embedding: Sequence[TensorInfo]) -> int:
    tokens = keys.metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, SkippedArray):
        return min(tokens.count, 2**31 - 1)
    rows = embedding[0].shape[1] if embedding and len(embedding[0].shape) > 1 else 0
    return keys.model_number("vocab_size", default=min(rows, 2**31 - 1))


def _category(keys: ModelKeys) -> ModelCategory:
    """What a model is for: llama.cpp pools what an embedding model makes of a text, or ranks by it."""
    pooling = keys.model_number("pooling_type", default=0)
    if pooling == _RANKING_POOL:
        return ModelCategory.RERANKER
    return ModelCategory.EMBEDDING if pooling or keys.architecture in ENCODERS else ModelCategory.LLM


def _blocks_with(weights: Weights, prefix: str) -> frozenset[int]:
    return frozenset(
        block
        for block, names in enumerate(weights.block_tensors)
        if any(name.startswith(prefix) for name in names)
    )


def _rows(tensors: Iterable[TensorInfo], name: str) -> int:
    """Rows of the first block's matrix of that name that has one. 0: none has."""
    rows = (
        tensor.shape[1] for tensor in tensors if tensor.name.endswith(f".{name}") and len(tensor.shape) > 1
    )
    return min(next(rows, 0), 2**31 - 1)


def _is_ungated(keys: ModelKeys, weights: Weights, tensors: Iterable[TensorInfo]) -> bool:
    has_gate = _blocks_with(weights, "ffn_gate.") | _blocks_with(weights, "ffn_gate_exps.")
    fused = _rows(tensors, "ffn_up.weight") > max(keys.feed_forward_lengths())
    return not has_gate and not fused and not _blocks_with(weights, "ffn_gate_up_exps.")


def _is_parallel(keys: ModelKeys, weights: Weights) -> bool:
    if keys.metadata.get(f"{keys.architecture}.use_parallel_residual"):
        return True
    # A block that reads its input once, through one norm.
    norms = {"ffn_norm", "post_attention_norm", "attn_output_norm"}
    return any(
        {"attn_norm.weight", "attn_output.weight", "ffn_up.weight"} <= names
        and not any(name.partition(".")[0] in norms for name in names)
        for names in weights.block_tensors
    )
