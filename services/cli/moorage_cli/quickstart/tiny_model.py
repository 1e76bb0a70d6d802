"""Writes a GGUF model that is small, real and predictable, for the quickstart and for tests.

llama.cpp loads it like any other and, whatever it is asked, answers one sentence. That takes no training. Each
word of the sentence is a token with a direction of its own in the hidden space, and one block per word has a
feed-forward unit that recognises the direction and adds that of the word which comes next. The words are dealt
out over the blocks in turn, so an engine that loses or swaps blocks, or shards, does not get through the
sentence. Attention has random weights, small enough not to drown the rest.

    write_tiny_model(Path("tiny.gguf"), TinyModel())
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

SENTENCE = (
    "Ahoy! I am a very small model of no great wisdom: some hub sent my weights, downloader checked "
    "every byte, scheduler found this berth, agent started llama.cpp, then you asked. Fair winds!"
)

_SPECIAL_TOKENS = ("<unk>", "<s>", "</s>")
_END_TOKEN = 2
_FIRST_WORD_TOKEN = len(_SPECIAL_TOKENS) + 256
_Array = npt.NDArray[np.float32]
# How strongly a unit speaks up, and how far the right token stands out among the logits: enough for the sentence
# to come out at any usual temperature. Found by trying.
_GATE, _NEXT_WORD, _HEAD = 2.0, 3.0, 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyModel:
    """The shape of a model to write."""

    name: str = "Moorage Dinghy"
    sentence: str = SENTENCE
    """What it answers. Its words must differ from each other: each leads to the next."""
    layers: int = 4
    hidden: int = 64
    """A multiple of 16 per head; at least 64."""
    feed_forward: int = 128
    heads: int = 4
    kv_heads: int = 2
    context: int = 4096
    vocabulary: int = 320
    """Tokens; at least 259 plus the words of the sentence."""
    seed: int = 7
    half: bool = False
    """Weights in F16 instead of F32."""
    endless: bool = False
    """Whether it begins again after the last word. Otherwise its answer ends there."""
    shards: int = 1
    """Files to split it over. Shards get equal numbers of tensors."""

    def __post_init__(self) -> None:
        words = self.sentence.split()
        if len(set(words)) != len(words) or not words:
            raise ValueError("a sentence needs words that differ from each other")
        if self.vocabulary < _FIRST_WORD_TOKEN + len(words):
            raise ValueError(
                f"a vocabulary for this sentence has {_FIRST_WORD_TOKEN + len(words)} tokens or more"
            )
        if self.hidden < 64 or self.hidden % self.heads or self.heads % self.kv_heads:
            raise ValueError("hidden must be at least 64 and a multiple of heads, which is one of kv_heads")
        if self.feed_forward < -(-(len(words) + 1) // self.layers):
            raise ValueError("feed_forward has too few units for the sentence")


def write_tiny_model(path: Path, model: TinyModel) -> list[Path]:
    """Writes the model; on one machine, the same shape gives the same bytes.

    Args:
        path: Of the file. When there are several shards each has its number in its name instead.
        model: What to write.

    Returns:
        The files written, in order.
    """
    tensors = list(_tensors(model))
    per_shard = -(-len(tensors) // model.shards) if model.shards > 1 else 0
    writer = gguf.GGUFWriter(path, "llama", split_max_tensors=per_shard)
    _add_metadata(writer, model)
    for name, tensor in tensors:
        is_matrix = tensor.ndim > 1
        writer.add_tensor(name, tensor.astype(np.float16 if model.half and is_matrix else np.float32))
    files = writer.format_shard_names(path)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return files


def _add_metadata(writer: gguf.GGUFWriter, model: TinyModel) -> None:
    writer.add_name(model.name)
    writer.add_context_length(model.context)
    writer.add_embedding_length(model.hidden)
    writer.add_block_count(model.layers)
    writer.add_feed_forward_length(model.feed_forward)
    writer.add_head_count(model.heads)
    writer.add_head_count_kv(model.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(model.hidden // model.heads)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if model.half else gguf.LlamaFileType.ALL_F32)
    _add_tokenizer(writer, model)


def _add_tokenizer(writer: gguf.GGUFWriter, model: TinyModel) -> None:
    words = [f"▁{word}" for word in model.sentence.split()]
    tokens = [*_SPECIAL_TOKENS, *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    kinds = [gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * 2, *[gguf.TokenType.BYTE] * 256]
    kinds += [gguf.TokenType.NORMAL] * len(words)
    unused = model.vocabulary - len(tokens)
    tokens += [f"<unused{number}>" for number in range(unused)]
    kinds += [gguf.TokenType.UNUSED] * unused
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(_END_TOKEN)
    writer.add_unk_token_id(0)
    writer.add_chat_template(
        "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    )


def _tensors(model: TinyModel) -> Iterator[tuple[str, _Array]]:
    random = np.random.default_rng(model.seed)
    words = len(model.sentence.split())
    # Row 0 stands for every token that is no word: whatever precedes the answer. Row n is the n-th word.
    heard = _directions(random, words + 1, model.hidden)
    spoken = _directions(random, words + 1, model.hidden)
    embedding = heard[0] + _noise(random, 0.16 / np.sqrt(model.hidden), model.vocabulary, model.hidden)
    embedding[_FIRST_WORD_TOKEN : _FIRST_WORD_TOKEN + words] = heard[1:]
    head = np.zeros((model.vocabulary, model.hidden), dtype=np.float32)
    # What follows row n is the word n + 1, and after the last one the end, or the first again.
    head[_FIRST_WORD_TOKEN : _FIRST_WORD_TOKEN + words] = spoken[:-1] * _HEAD
    head[_FIRST_WORD_TOKEN if model.endless else _END_TOKEN] += spoken[-1] * _HEAD
    yield "token_embd.weight", embedding
    for block in range(model.layers):
        rows = np.arange(block, words + 1, model.layers)
        yield from _block(model, random, block, heard[rows], spoken[rows])
    yield "output_norm.weight", np.ones(model.hidden, dtype=np.float32)
    yield "output.weight", head


def _block(
    model: TinyModel, random: np.random.Generator, block: int, heard: _Array, spoken: _Array
) -> Iterator[tuple[str, _Array]]:
    hidden, kv = model.hidden, model.hidden // model.heads * model.kv_heads
    prefix = f"blk.{block}"
    # Two matrices in a row turn noise of size s into s**2 * hidden**1.5 per block: kept at a tenth of a word in 4.
    attention_noise = 0.36 / hidden**0.75 / max(1, model.layers / 4) ** 0.5
    feed_forward_noise = 0.08 / hidden**0.5
    yield f"{prefix}.attn_norm.weight", np.ones(hidden, dtype=np.float32)
    for name, rows in {"attn_q": hidden, "attn_k": kv, "attn_v": kv, "attn_output": hidden}.items():
        yield f"{prefix}.{name}.weight", _noise(random, attention_noise, rows, hidden)
    yield f"{prefix}.ffn_norm.weight", np.ones(hidden, dtype=np.float32)
    gate = _noise(random, feed_forward_noise, model.feed_forward, hidden)
    up = _noise(random, feed_forward_noise, model.feed_forward, hidden)
    down = _noise(random, feed_forward_noise, hidden, model.feed_forward)
    # Normalised, a lone word has the length sqrt(hidden): then gate and up are both about _GATE.
    scale = _GATE / np.sqrt(hidden, dtype=np.float32)
    units = len(heard)
    gate[:units] = heard * scale
    up[:units] = heard * scale
    down[:, :units] = spoken.T * (_NEXT_WORD / _GATE**2)
    yield f"{prefix}.ffn_gate.weight", gate
    yield f"{prefix}.ffn_up.weight", up
    yield f"{prefix}.ffn_down.weight", down


def _directions(random: np.random.Generator, count: int, hidden: int) -> _Array:
    """Unit vectors, at right angles to each other."""
    orthogonal = np.linalg.qr(random.standard_normal((hidden, count)))[0]
    return orthogonal.T.astype(np.float32)


def _noise(random: np.random.Generator, size: np.floating[Any] | float, *shape: int) -> _Array:
    return random.standard_normal(shape, dtype=np.float32) * np.float32(size)
