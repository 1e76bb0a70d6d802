"""The memory of a model in vLLM: what it needs on each GPU, what it takes there, and what RAM holds.

vLLM takes a fixed part of each GPU and fills what the model does not need with its cache. So a model has a *need*,
which says whether it fits, and a *claim*, which is what is gone from the card.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Protocol

from moorage_common.core.placement import MemoryPart, ModelCategory
from moorage_common.core.states import AcceleratorKind
from moorage_common.modelfiles.safetensors_facts import SafetensorsFacts
from moorage_scheduler.core.memory import Parts
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.request import VllmOptions
from moorage_scheduler.core.sizes import VllmSizes
from moorage_scheduler.estimators.vllm_cuts import Cuts
from moorage_scheduler.estimators.vllm_facts import FactsEstimate
from moorage_scheduler.estimators.vllm_overhead import gpu_context
from moorage_scheduler.estimators.vllm_sizes import SizesEstimate
from moorage_scheduler.estimators.vllm_stages import Stage, stages

DEFAULT_UTILIZATION = 0.9
"""Which part of a GPU's memory an engine is given that makes text. vLLM's own default has changed over time."""
_DEFAULT_LENGTH = 2048
"""Tokens that vLLM assumes where the model says nothing: `_get_and_verify_max_len` in vllm/config/model.py."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One GPU, as far as the memory of vLLM depends on it."""

    total_bytes: int
    kind: AcceleratorKind


class Estimate(Protocol):
    """What one model needs, wherever its facts come from."""

    @property
    def block_count(self) -> int:
        """How many blocks the model has. 0: not known."""
        ...

    @property
    def cuts(self) -> Cuts:
        """What limits the ways to cut the model over GPUs."""
        ...

    def on_gpu(self, stage: Stage, shape: ParallelShape, kind: AcceleratorKind) -> Parts:
        """Returns what one GPU of a stage holds."""
        ...

    def on_host(self, shape: ParallelShape, *, ranks: int, leads: bool) -> Parts:
        """Returns what one worker's RAM holds, for so many GPUs of its own."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmNeeds:
    """What a model needs of workers in vLLM, for any shape and any card."""

    facts: SafetensorsFacts | VllmSizes
    options: VllmOptions
    category: ModelCategory
    context_length: int
    """Tokens of the longest request that all this is for."""
    estimate: Estimate

    @property
    def cuts(self) -> Cuts:
        """What limits the ways to cut the model over GPUs."""
        return self.estimate.cuts

    @property
    def utilization(self) -> float | None:
        """Which part of each GPU is taken. None: no more than is needed."""
        if self.options.gpu_memory_utilization is not None:
            return self.options.gpu_memory_utilization
        return DEFAULT_UTILIZATION if self.category is ModelCategory.LLM else None

    def stages(self, shape: ParallelShape) -> tuple[Stage, ...]:
        """Returns the pipeline stages of a shape; each is held by as many GPUs as its layers are cut over."""
        return stages(self.estimate.block_count, shape.pipeline)

    def on_gpu(self, shape: ParallelShape, stage: Stage, kind: AcceleratorKind) -> Parts:
        """Returns what one GPU of a stage must be able to hold, of what vLLM may take."""
        return self.estimate.on_gpu(stage, shape, kind)

    def most_on_gpu(self, shape: ParallelShape, kind: AcceleratorKind) -> Parts:
        """Returns what a GPU of the stage that needs most must be able to hold."""
        return max(
            (self.on_gpu(shape, stage, kind) for stage in self.stages(shape)), key=lambda parts: parts.total
        )

    def claim_bytes(self, shape: ParallelShape, stage: Stage, card: Card) -> int:
        """Returns what a model takes of a card, whether it fits or not."""
        if self.utilization is not None:
            # As `request_memory` in vllm/v1/worker/utils.py does.
            return ceil(card.total_bytes * self.utilization)
        return self.on_gpu(shape, stage, card.kind).total + gpu_context(shape)

    def shortage(self, shape: ParallelShape, stage: Stage, card: Card) -> int:
        """Returns how many bytes more it would have to be able to take of a card. Not above 0: it fits."""
        limit = card.total_bytes if self.utilization is None else self.claim_bytes(shape, stage, card)
        context = gpu_context(shape) if self.utilization is None else 0
        return self.on_gpu(shape, stage, card.kind).total + context - limit

    def claim(self, shape: ParallelShape, stage: Stage, card: Card) -> Mapping[MemoryPart, int]:
        """Returns what a model takes of a card that it fits, by what it is for."""
        parts = self.on_gpu(shape, stage, card.kind)
        if self.utilization is None:
            return (parts + Parts(overhead=gpu_context(shape))).by_part()
        room = self.claim_bytes(shape, stage, card) - parts.total
        return {**parts.by_part(), **({MemoryPart.CACHE_ROOM: room} if room > 0 else {})}

    def on_host(self, shape: ParallelShape, *, ranks: int, leads: bool) -> Parts:
        """Returns what one worker's RAM holds.

        Args:
            shape: How the model is cut.
            ranks: How many of its GPUs are this worker's.
            leads: Whether the worker serves the instance.

        """
        return self.estimate.on_host(shape, ranks=ranks, leads=leads)

    def longest_context(self, shape: ParallelShape, cards: Mapping[int, Card]) -> int:
        """Returns the longest request that would fit, at most the one asked for. 0: none does.

        Args:
            shape: How the model is cut.
            cards: The smallest card of each stage, by the stage's index.

        """
        low, high = 0, self.context_length
        while low < high:
            middle = (low + high + 1) // 2
            shorter = self.with_context(middle)
            fits = all(
                shorter.shortage(shape, stage, cards[stage.index]) <= 0 for stage in self.stages(shape)
            )
            low, high = (middle, high) if fits else (low, middle - 1)
        return low

    def with_context(self, tokens: int) -> "VllmNeeds":
        """Returns the needs with another longest request."""
        return vllm_needs(self.facts, replace(self.options, max_model_len=tokens), self.category)


def vllm_needs(
    facts: SafetensorsFacts | VllmSizes, options: VllmOptions, category: ModelCategory | None = None
) -> VllmNeeds:
    """Returns what a model needs with these options.

    Args:
        facts: What its files say, or what it needs in bytes.
        options: How vLLM is started.
        category: What it is for. None: as its facts say.

    """
    category = category or facts.category
    length = options.max_model_len or facts.context_length or _DEFAULT_LENGTH
    estimate: Estimate
    if isinstance(facts, VllmSizes):
        estimate = SizesEstimate(sizes=facts, options=options, length=length)
    else:
        estimate = FactsEstimate.of(facts, options, length=length, category=category)
    return VllmNeeds(
        facts=facts, options=options, category=category, context_length=length, estimate=estimate
    )
