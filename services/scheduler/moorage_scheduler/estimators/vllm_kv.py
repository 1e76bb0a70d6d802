"""Keys and values in vLLM: the least that it must be able to keep, or it does not start.

That is one request of the longest length, and one block that is never used: `get_kv_cache_configs` and
`_max_memory_usage_bytes_from_groups` in vllm/v1/core/kv_cache_utils.py, vLLM 0.32.0. Blocks of a model that differ
in what they keep are put into groups of equally many; all groups take their pages from one pool, and one page
of it is as wide as a group.
"""

from dataclasses import dataclass

from moorage_common.core.states import AcceleratorKind
from moorage_common.modelfiles.safetensors_facts import SafetensorsFacts
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.request import VllmOptions
from moorage_scheduler.estimators.vllm_dtypes import WIDTHS, compute_width
from moorage_scheduler.estimators.vllm_stages import Stage

_PAGE_TOKENS = 16
"""Tokens of a page: `CacheConfig.DEFAULT_BLOCK_SIZE`, vLLM 0.32.0."""
_ASCEND_PAGE_TOKENS = 128
"""Tokens of a page on Ascend: vllm_ascend/platform.py."""
_STATES = 2
"""States of one request that a recurrent block keeps with prefix caching (`MambaSpec`, mode "align")."""
_STATE_VALUES = 320
"""Values of a recurrent block's state, in 32 bits, per unit of the model's width: assumed where facts do not say.

Qwen3-Next keeps 256 of them, Nemotron-H 256, Qwen3.8-27B 313 (from the page size that vLLM logs for it).
"""
_UNEVEN = 3, 2
"""From this ratio on, groups are as small as the rarer sort of block, not as large as the more frequent one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sort:
    """Blocks that keep the same."""

    blocks: int
    pages: int
    """Pages that one request of the longest length takes of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysAndValues:
    """What a model keeps of its context."""

    facts: SafetensorsFacts
    options: VllmOptions
    length: int
    """Tokens of the longest request."""

    def on_gpu(self, stage: Stage, shape: ParallelShape, kind: AcceleratorKind) -> int:
        """Returns the bytes that one GPU of a stage must be able to keep."""
        page = self._page_bytes(shape.tensor, kind)
        sorts = self._sorts(shape, kind, page)
        if not sorts:
            return 0
        group = _group_size([sort.blocks for sort in sorts])
        pages = 1 + sum(-(-sort.blocks // group) * sort.pages for sort in sorts)
        if self.facts.recurrent_block_count and not self.options.enforce_eager:
            # Each request of a captured batch has a state of its own (vllm/config/compilation.py).
            pages = max(pages, self.options.max_num_seqs)
        return pages * stage.part_of(group) * page

    def _token_bytes(self, tensor: int) -> int:
        # A latent vector is one head, and there is no part of it that a rank could do without.
        heads = max(1, self.facts.head_count_kv // tensor)
        values = self.facts.latent_values_per_token or 2 * self.facts.head_size * heads
        dtype = self.options.kv_cache_dtype
        return values * (WIDTHS[dtype] if dtype else compute_width(self.options.dtype))

    def _page_tokens(self, tensor: int, kind: AcceleratorKind) -> int:
        least = _ASCEND_PAGE_TOKENS if kind is AcceleratorKind.CANN else _PAGE_TOKENS
        if not self.facts.recurrent_block_count or not self.facts.attention_block_count:
            return least
        # A page of keys and values is made as large as a state (`_align_hybrid_block_size`, platforms/interface.py).
        return least * -(-self._state_bytes(tensor) // (least * self._token_bytes(tensor)))

    def _page_bytes(self, tensor: int, kind: AcceleratorKind) -> int:
        if not self.facts.attention_block_count:
            return self._state_bytes(tensor)
        return self._page_tokens(tensor, kind) * self._token_bytes(tensor)

    def _state_bytes(self, tensor: int) -> int:
        state = self.facts.recurrent_state_bytes or _STATE_VALUES * self.facts.hidden_size * 4
        return -(-state // tensor)

    def _sorts(self, shape: ParallelShape, kind: AcceleratorKind, page: int) -> list[_Sort]:
        windowed = self.facts.sliding_window_block_count if self.facts.sliding_window else 0
        full = self.facts.attention_block_count - windowed
        if not page:
            return []
        tokens = self._page_tokens(shape.tensor, kind)
        # A window is freed behind what is computed, so it also holds all batches that are under way: one for
        # each stage and one more (`max_concurrent_batches`, vllm/config/vllm.py).
        under_way = (shape.pipeline + 1) * self.options.max_num_batched_tokens
        kept = min(self.facts.sliding_window - 1 + under_way, self.length)
        sorts = [
            _Sort(blocks=full, pages=-(-self.length // tokens)),
            _Sort(blocks=windowed, pages=-(-kept // tokens) + 1),
            _Sort(blocks=self.facts.recurrent_block_count, pages=_STATES),
        ]
        return [sort for sort in sorts if sort.blocks]


def _group_size(blocks: list[int]) -> int:
    # `_get_kv_cache_groups_uniform_page_size` in vllm/v1/core/kv_cache_utils.py.
    least, most = min(blocks), max(blocks)
    return most if most * _UNEVEN[1] < least * _UNEVEN[0] else least
