"""Bytes of a GGUF model's weights, by the part of the model that they are in and by what llama.cpp does with them."""

import re
from collections.abc import Sequence

from moorage_common.modelfiles.gguf_header import GgufHeader, TensorInfo
from moorage_common.modelfiles.tensor_types import CPU_REPACKED_TYPES

_BLOCK_TENSOR = re.compile(r"(?:enc\.|dec\.)?blk\.(\d{1,4})\.(.+)")
_EXPERTS = re.compile(r"_(?:ch)?exps\b")
_REPACKED_ROWS = 8
"""The CPU backend rearranges so many rows into one, and leaves a matrix alone whose rows cannot be grouped so."""


class Weights:
    """Sums over all shards.

    Args:
        block_count: Blocks of the model.
        loaded_blocks: Blocks that llama.cpp loads: the first so many.
        headers: Of every shard.
        tied: Whether the token embedding is the output head, too.
    """

    def __init__(
        self, *, block_count: int, loaded_blocks: int, headers: Sequence[GgufHeader], tied: bool
    ) -> None:
        self.blocks = [0] * block_count
        self.block_repacks = [0] * block_count
        self.block_experts = [0] * block_count
        self.block_tensors: list[set[str]] = [set() for _ in range(block_count)]
        """Names of each block's tensors, without the block's own."""
        self.output = self.output_repack = self.token_embedding = self.other = 0
        self.largest_block_tensor = 0
        self.unmapped = 0
        """Of what is repacked: bytes at the ends of files, which stay mapped only between the first and the last
        tensor that is used as it lies there."""
        self._loaded_blocks = loaded_blocks
        for header in headers:
            for tensor in header.tensors:
                self._add(tensor, tied=tied)
            self.unmapped += self._at_the_ends(header.tensors)

    def _add(self, tensor: TensorInfo, *, tied: bool) -> None:
        block, name = self._block_of(tensor)
        if block is not None:
            self.blocks[block] += tensor.size_bytes
            self.block_tensors[block].add(name)
            if block < self._loaded_blocks:
                self.block_repacks[block] += _repacked_bytes(tensor)
                self.block_experts[block] += tensor.size_bytes if _EXPERTS.search(name) else 0
                self.largest_block_tensor = max(self.largest_block_tensor, tensor.size_bytes)
        elif tensor.name.startswith("output"):
            self.output += tensor.size_bytes
            self.output_repack += _repacked_bytes(tensor)
        elif tensor.name.startswith("token_embd."):
            self.token_embedding += tensor.size_bytes
            # As the output head a tied embedding is repacked, too; as the embedding it never is.
            self.output_repack += _repacked_bytes(tensor) if tied else 0
        else:
            self.other += tensor.size_bytes
            self.output_repack += _repacked_bytes(tensor) if _is_multiplied(tensor) else 0

    def _at_the_ends(self, tensors: Sequence[TensorInfo]) -> int:
        moved: list[TensorInfo] = []
        used: list[TensorInfo] = []
        for tensor in tensors:
            block, _ = self._block_of(tensor)
            if block is not None and block >= self._loaded_blocks:
                continue
            multiplied = block is not None or _is_multiplied(tensor)
            (moved if multiplied and _repacked_bytes(tensor) else used).append(tensor)
        if not used:
            return sum(tensor.size_bytes for tensor in moved)
        first, last = min(tensor.offset for tensor in used), max(tensor.offset for tensor in used)
        return sum(tensor.size_bytes for tensor in moved if not first < tensor.offset < last)

    def _block_of(self, tensor: TensorInfo) -> tuple[int | None, str]:
        match = _BLOCK_TENSOR.match(tensor.name)
        if match is None or int(match[1]) >= len(self.blocks):
            return None, tensor.name
        return int(match[1]), match[2]


def _is_multiplied(tensor: TensorInfo) -> bool:
    """Whether a tensor outside of blocks is a matrix to multiply with, and not one to look up rows in."""
    return tensor.name.startswith(("output", "per_layer_model_proj."))


def _repacked_bytes(tensor: TensorInfo) -> int:
    if tensor.type.name not in CPU_REPACKED_TYPES:
        return 0
    matrix_dimensions = 3 if _EXPERTS.search(tensor.name) else 2
    fits = len(tensor.shape) == matrix_dimensions and tensor.shape[1] % _REPACKED_ROWS == 0
    return tensor.size_bytes if fits else 0
