"""What the headers of a GGUF model, whole or in shards, say about it: everything that a placement needs."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from moorage_common.core.errors import ErrorReason, FailedPrecondition
from moorage_common.modelfiles.architectures import ARCHITECTURES, ENCODERS
from moorage_common.modelfiles.gguf_cursor import invalid
from moorage_common.modelfiles.gguf_header import GgufHeader, SkippedArray, TensorInfo
from moorage_common.modelfiles.gguf_keys import ModelKeys
from moorage_common.modelfiles.tensor_types import CPU_REPACKED_TYPES, FILE_TYPES

_BLOCK_TENSOR = re.compile(r"(?:enc\.|dec\.)?blk\.(\d{1,4})\.")


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
    sliding_window: int
    """Tokens that a block with a sliding window attends to. 0: there is no such block."""
    sliding_window_blocks: tuple[bool, ...]
    """Which blocks have the sliding window. Empty: none."""
    expert_count: int
    """0: not a mixture of experts."""
    expert_used_count: int
    expert_feed_forward_length: int
    """Width of one expert's feed-forward layer. 0: not given."""
    kv_lora_rank: int
    """Values in the compressed key/value vector of multi-head latent attention. 0: not used."""
    block_bytes: tuple[int, ...]
    """Bytes of weights, per block."""
    block_repack_bytes: tuple[int, ...]
    """Bytes of the matrices that llama.cpp holds a second time when they are on the CPU, per block."""
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


def gguf_facts(headers: Sequence[GgufHeader]) -> GgufFacts:
    """Sums up the headers of one model.

    Args:
        headers: Of every shard, in order; of the one file when there are no shards.

    Raises:
        FailedPrecondition: MODEL_FILE_INVALID or ARCHITECTURE_UNSUPPORTED, with what was read.
    """
    _check_shards(headers)
    first = headers[0]
    keys = ModelKeys(first.file_name, first.metadata)
    _check_kind(first, keys.architecture)
    tensors = _all_tensors(headers)
    attention = keys.attention()
    embedding = [tensor for tensor in tensors if tensor.name == "token_embd.weight"]
    weights = _Weights(keys.block_count, tensors)
    has_head = any(tensor.name == "output.weight" for tensor in tensors)
    tied = bool(embedding) and not has_head and keys.architecture not in ENCODERS
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
        sliding_window=attention.sliding_window,
        sliding_window_blocks=attention.sliding_window_blocks,
        expert_count=keys.model_number("expert_count", default=0),
        expert_used_count=keys.model_number("expert_used_count", default=0),
        expert_feed_forward_length=max(keys.expert_feed_forward_lengths()),
        kv_lora_rank=attention.kv_lora_rank,
        block_bytes=tuple(weights.blocks),
        block_repack_bytes=tuple(weights.block_repacks),
        output_bytes=weights.output,
        # As the output head a tied embedding is repacked, too; as the embedding it never is.
        output_repack_bytes=weights.output_repack + (sum(map(_repacked_bytes, embedding)) if tied else 0),
        token_embedding_bytes=weights.token_embedding,
        other_bytes=weights.other,
        tied_embedding=tied,
        total_tensor_bytes=sum(tensor.size_bytes for tensor in tensors),
    )


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


class _Weights:
    """Bytes of weights by the part of the model that they are in."""

    def __init__(self, block_count: int, tensors: Iterable[TensorInfo]) -> None:
        self.blocks = [0] * block_count
        self.block_repacks = [0] * block_count
        self.output = self.output_repack = self.token_embedding = self.other = 0
        for tensor in tensors:
            self._add(tensor)

    def _add(self, tensor: TensorInfo) -> None:
        repacked = _repacked_bytes(tensor)
        block = _BLOCK_TENSOR.match(tensor.name)
        if block and int(block[1]) < len(self.blocks):
            self.blocks[int(block[1])] += tensor.size_bytes
            self.block_repacks[int(block[1])] += repacked
        elif tensor.name.startswith("output"):
            self.output += tensor.size_bytes
            self.output_repack += repacked
        elif tensor.name.startswith("token_embd."):
            self.token_embedding += tensor.size_bytes
        else:
            self.other += tensor.size_bytes


def _repacked_bytes(tensor: TensorInfo) -> int:
    matrix = len(tensor.shape) > 1
    return tensor.size_bytes if matrix and tensor.type.name in CPU_REPACKED_TYPES else 0
