"""What the graph of a GGUF model depends on, in one place, and the widths that its parts share."""

from dataclasses import dataclass

from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_scheduler.estimators.gguf_context import Context
from moorage_scheduler.estimators.graph import Device

FLOAT_BYTES = 4
HALF_BYTES = 2
INDEX_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One way to compute a model."""

    facts: GgufFacts
    context: Context
    flash: bool
    """Whether attention is computed without its whole matrix in memory."""
    device: Device
    """Where all blocks are."""
    unpacks: bool = False
    """Whether a quantised cache is unpacked, block by block, before queries look at it."""

    @property
    def tokens(self) -> int:
        """Tokens that are computed at once, over all slots."""
        return self.context.batch

    @property
    def hidden(self) -> int:
        """Width of the hidden state."""
        return self.facts.embedding_length

    @property
    def cached(self) -> bool:
        """Whether keys and values are kept at all; else a text is read as a whole."""
        return any(self.facts.block_key_elements) or not any(self.facts.head_counts)

    def floats(self, width: int, rows: int | None = None) -> int:
        """Bytes of so many numbers for each token, or for each of so many rows."""
        return FLOAT_BYTES * width * (self.tokens if rows is None else rows)

    def key_length(self, block: int) -> int:
        """Values in one head's key in a block, which may differ where it has a sliding window."""
        return self._length(self.facts.block_key_elements[block], block) or self.facts.key_length

    def value_length(self, block: int) -> int:
        """As `key_length`, of values."""
        return self._length(self.facts.block_value_elements[block], block) or self.facts.value_length

    def cells(self, block: int) -> int:
        """Tokens of one slot that a block can look at."""
        if not self.cached:
            return self.tokens
        return self.context.window_cells if self.slides(block) else self.context.cells

    def slides(self, block: int) -> bool:
        """Whether a block has a sliding window."""
        return any(self.facts.sliding_window_blocks) and self.facts.sliding_window_blocks[block]

    def _length(self, elements: int, block: int) -> int:
        heads = self.facts.head_counts_kv[block]
        return elements // heads if heads and elements % heads == 0 else 0
