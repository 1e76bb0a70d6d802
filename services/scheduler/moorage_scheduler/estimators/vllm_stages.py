"""Pipeline stages: which blocks each group of GPUs holds, dealt out as vLLM deals them."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What one group of a pipeline holds."""

    index: int
    count: int
    """Of how many stages it is one."""
    start: int
    """Its first block."""
    stop: int
    """The block after its last."""
    share: Fraction
    """Its part of all blocks."""

    @property
    def blocks(self) -> int:
        """How many blocks it holds. 0: nobody knows how many the model has."""
        return self.stop - self.start

    @property
    def first(self) -> bool:
        """Whether it embeds tokens."""
        return self.index == 0

    @property
    def last(self) -> bool:
        """Whether it makes logits."""
        return self.index == self.count - 1

    def part_of(self, amount: int) -> int:
        """Its part of something that all blocks have alike, rounded up."""
        return -(-amount * self.share.numerator // self.share.denominator)


def stages(block_count: int, count: int) -> tuple[Stage, ...]:
    """Returns the stages of a pipeline.

    What does not divide goes to the stages before the last, from the back: the last has the output head to
    hold, and the first the embedding (`get_pp_indices` in vllm/distributed/utils.py, vLLM 0.32.0).

    Args:
        block_count: Blocks of the model. 0: not known; then each stage has an equal part.
        count: How many stages. No more than there are blocks.

    """
    if not block_count:
        part = Fraction(1, count)
        return tuple(Stage(index=i, count=count, start=0, stop=0, share=part) for i in range(count))
    each, left = divmod(block_count, count)
    sizes = [each + (count - 1 - left <= i < count - 1) for i in range(count)]
    starts = [sum(sizes[:i]) for i in range(count)]
    return tuple(
        Stage(index=i, count=count, start=start, stop=start + size, share=Fraction(size, block_count))
        for i, (start, size) in enumerate(zip(starts, sizes, strict=True))
    )
