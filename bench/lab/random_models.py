"""GGUF models with random weights that llama.cpp loads and computes with as with any others."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray

_SCALES = {Type.Q8_0: (0,), Type.Q4_0: (0,), Type.Q4_K: (0, 2), Type.Q6_K: (208,)}
"""Where in a block its 16-bit scales are: anything else in it may be any bits."""
_SCALE = np.frombuffer(np.float16(0.001).tobytes(), np.uint8)
_SAMPLE = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomModel:
    """A model of the llama architecture; with experts, of qwen3moe."""

    name: str
    weights: Type
    hidden: int
    blocks: int
    feed_forward: int = 0
    heads: int = 16
    heads_kv: int = 4
    head_length: int = 64
    vocabulary: int = 8000
    experts: int = 0
    experts_used: int = 0

    @property
    def architecture(self) -> str:
        return "qwen3moe" if self.experts else "llama"

    def write(self, path: Path) -> Path:
        writer = gguf.GGUFWriter(path, self.architecture)
        self._add_keys(writer)
        self._add_tokens(writer)
        for name, shape in self._tensors():
            plain = len(shape) == 1 or "gate_inp" in name
            kind = Type.F32 if plain else self.weights
            writer.add_tensor(name, _values(shape, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    def _add_keys(self, writer: gguf.GGUFWriter) -> None:
        writer.add_context_length(32768)
        writer.add_embedding_length(self.hidden)
        writer.add_block_count(self.blocks)
        writer.add_feed_forward_length(self.feed_forward)
        writer.add_head_count(self.heads)
        writer.add_head_count_kv(self.heads_kv)
        writer.add_key_length(self.head_length)
        writer.add_value_length(self.head_length)
        writer.add_layer_norm_rms_eps(1e-5)
        if self.experts:
            writer.add_expert_count(self.experts)
            writer.add_expert_used_count(self.experts_used)
            writer.add_expert_feed_forward_length(self.feed_forward)

    def _add_tokens(self, writer: gguf.GGUFWriter) -> None:
        tokens = [b"<unk>", b"<s>", b"</s>", *(f"<0x{byte:02X}>".encode() for byte in range(256))]
        tokens += [f"t{index}".encode() for index in range(self.vocabulary - len(tokens))]
        writer.add_tokenizer_model("llama")
        writer.add_token_list(tokens)
        writer.add_token_scores([0.0] * self.vocabulary)
        writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * (self.vocabulary - 259))
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)

    def _tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        hidden, queries = self.hidden, self.heads * self.head_length
        keys = self.heads_kv * self.head_length
        yield "token_embd.weight", (self.vocabulary, hidden)
        yield "output_norm.weight", (hidden,)
        yield "output.weight", (self.vocabulary, hidden)
        for index in range(self.blocks):
            block = f"blk.{index}."
            yield block + "attn_norm.weight", (hidden,)
            yield block + "ffn_norm.weight", (hidden,)
            yield block + "attn_q.weight", (queries, hidden)
            yield block + "attn_k.weight", (keys, hidden)
            yield block + "attn_v.weight", (keys, hidden)
            yield block + "attn_output.weight", (hidden, queries)
            yield from self._feed_forward(block)

    def _feed_forward(self, block: str) -> Iterator[tuple[str, tuple[int, ...]]]:
        wide, narrow = (self.feed_forward, self.hidden), (self.hidden, self.feed_forward)
        if not self.experts:
            yield block + "ffn_gate.weight", wide
            yield block + "ffn_up.weight", wide
            yield block + "ffn_down.weight", narrow
            return
        yield block + "attn_q_norm.weight", (self.head_length,)
        yield block + "attn_k_norm.weight", (self.head_length,)
        yield block + "ffn_gate_inp.weight", (self.experts, self.hidden)
        yield block + "ffn_gate_exps.weight", (self.experts, *wide)
        yield block + "ffn_up_exps.weight", (self.experts, *wide)
        yield block + "ffn_down_exps.weight", (self.experts, *narrow)


def _values(shape: tuple[int, ...], kind: Type) -> NDArray[np.generic]:
    random = np.random.default_rng(0)
    if kind in {Type.F32, Type.F16}:
        noise = random.standard_normal(_SAMPLE) * 0.02
        return np.resize(noise.astype(np.float32 if kind is Type.F32 else np.float16), shape)
    weights, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (_SAMPLE, size), dtype=np.uint8)
    for offset in _SCALES[kind]:
        blocks[:, offset : offset + 2] = _SCALE
    return np.resize(blocks, (*shape[:-1], shape[-1] // weights * size))
