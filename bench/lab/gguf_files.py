"""GGUF files whose weights are all zero, and take no room on the disk: only their headers are written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import gguf
import numpy as np

Value = bool | int | float | str | list[int] | list[bool]
_ALIGNMENT = 32
_BYTE_TOKENS = 256
_NAMED_TOKENS = (b"<unk>", b"<s>", b"</s>")


@dataclass(frozen=True)
class Tensor:
    """One tensor, its dimensions as ggml orders them: the first is that of a row."""

    name: str
    dimensions: tuple[int, ...]
    type: str = "F32"

    @property
    def size(self) -> int:
        """Bytes."""
        block_elements, block_bytes = gguf.GGML_QUANT_SIZES[self._kind]
        return prod(self.dimensions) // block_elements * block_bytes

    @property
    def _kind(self) -> gguf.GGMLQuantizationType:
        return gguf.GGMLQuantizationType[self.type]

    def describe(self, writer: gguf.GGUFWriter) -> None:
        """Has the writer list it."""
        block_elements, block_bytes = gguf.GGML_QUANT_SIZES[self._kind]
        shape = list(reversed(self.dimensions))
        if self.type in {"F32", "F16"}:
            plain = np.dtype(np.float32 if self.type == "F32" else np.float16)
            writer.add_tensor_info(self.name, shape, plain, self.size)
        else:
            shape[-1] = shape[-1] // block_elements * block_bytes
            writer.add_tensor_info(self.name, shape, np.dtype(np.uint8), self.size, raw_dtype=self._kind)


@dataclass(frozen=True)
class GgufModel:
    """A model to write."""

    architecture: str
    metadata: Mapping[str, Value]
    """Under the architecture's prefix, unless the key has another."""
    tensors: tuple[Tensor, ...]
    vocabulary: int

    @property
    def size(self) -> int:
        """Bytes of weights."""
        return sum(tensor.size for tensor in self.tensors)

    def write(self, path: Path, *, shards: int = 1) -> list[Path]:
        """Writes the model, whole or in so many shards; returns the files in order."""
        if shards == 1:
            self._write(path, self.tensors, self.metadata)
            return [path]
        paths, share = [], -(-len(self.tensors) // shards)
        for number in range(shards):
            split = {"split.no": number, "split.count": shards, "split.tensors.count": len(self.tensors)}
            paths.append(path.with_name(f"{path.stem}-{number + 1:05d}-of-{shards:05d}.gguf"))
            part = self.tensors[number * share : (number + 1) * share]
            self._write(
                paths[-1], part, {**(self.metadata if number == 0 else {}), **split}, words=number == 0
            )
        return paths

    def _write(
        self, path: Path, tensors: Iterable[Tensor], metadata: Mapping[str, Value], *, words: bool = True
    ) -> None:
        writer = gguf.GGUFWriter(path, self.architecture)
        for name, value in metadata.items():
            key = (
                name
                if name.startswith(("general.", "split.", "tokenizer."))
                else f"{self.architecture}.{name}"
            )
            _add(writer, key, value)
        if words:
            _add_tokens(writer, self.vocabulary)
        end = 0
        for tensor in tensors:
            tensor.describe(writer)
            end = _aligned(end) + tensor.size
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        writer.close()
        with path.open("r+b") as file:
            file.truncate(_aligned(path.stat().st_size) + _aligned(end))


def _add(writer: gguf.GGUFWriter, key: str, value: Value) -> None:
    if key.startswith("split."):
        add = writer.add_int32 if key.endswith("tensors.count") else writer.add_uint16
        add(key, value)
    elif isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def _add_tokens(writer: gguf.GGUFWriter, count: int) -> None:
    tokens = [*_NAMED_TOKENS, *(f"<0x{byte:02X}>".encode() for byte in range(_BYTE_TOKENS))]
    first_word = len(tokens)
    tokens += [f"t{index}".encode() for index in range(count - first_word)]
    kinds = gguf.TokenType
    types = [kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL] + [kinds.BYTE] * _BYTE_TOKENS
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * count)
    writer.add_token_types(types + [kinds.NORMAL] * (count - first_word))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
