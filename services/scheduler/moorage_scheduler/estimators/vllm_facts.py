"""What a model needs in vLLM, computed from what its files say."""

from dataclasses import dataclass

from moorage_common.core.placement import ModelCategory
from moorage_common.core.states import AcceleratorKind
from moorage_common.modelfiles.safetensors_facts import SafetensorsFacts
from moorage_scheduler.core.memory import Parts
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.request import VllmOptions
from moorage_scheduler.estimators.vllm_compute import Activations
from moorage_scheduler.estimators.vllm_cuts import Cuts, cuts_of, keeps_nothing
from moorage_scheduler.estimators.vllm_kv import KeysAndValues
from moorage_scheduler.estimators.vllm_overhead import gpu_overhead, host_memory
from moorage_scheduler.estimators.vllm_stages import Stage
from moorage_scheduler.estimators.vllm_weights import Weights, weights_of


@dataclass(frozen=True, slots=True, kw_only=True)
class FactsEstimate:
    """What one GPU and one worker need of a model whose files were read."""

    facts: SafetensorsFacts
    options: VllmOptions
    length: int
    """Tokens of the longest request."""
    category: ModelCategory
    weights: Weights

    @classmethod
    def of(
        cls, facts: SafetensorsFacts, options: VllmOptions, *, length: int, category: ModelCategory
    ) -> "FactsEstimate":
        """Returns the estimate of a model, with what is the same for all shapes computed once."""
        weights = weights_of(facts, options)
        return cls(facts=facts, options=options, length=length, category=category, weights=weights)

    @property
    def block_count(self) -> int:
        """How many blocks the model has."""
        return self.facts.block_count

    @property
    def cuts(self) -> Cuts:
        """What limits the ways to cut the model over GPUs."""
        return cuts_of(self.facts, self.options)

    def on_gpu(self, stage: Stage, shape: ParallelShape, kind: AcceleratorKind) -> Parts:
        """Returns what one GPU of a stage holds."""
        return Parts(
            weights=self.weights.on_gpu(stage, shape),
            kv_cache=self._kept(stage, shape, kind),
            compute=self._activations.on_gpu(stage, shape),
            overhead=gpu_overhead(shape),
        )

    def on_host(self, shape: ParallelShape, *, ranks: int, leads: bool) -> Parts:
        """Returns what one worker's RAM holds, for so many GPUs of its own."""
        return host_memory(
            self.facts, self.options, length=self.length, shape=shape, ranks=ranks, leads=leads
        )

    def _kept(self, stage: Stage, shape: ParallelShape, kind: AcceleratorKind) -> int:
        if keeps_nothing(self.facts):
            return 0
        # What makes no text computes whole batches, so a batch is the least that is worth keeping.
        batch = 0 if self.category is ModelCategory.LLM else self.options.max_num_batched_tokens
        kept = KeysAndValues(facts=self.facts, options=self.options, length=max(self.length, batch))
        return kept.on_gpu(stage, shape, kind)

    @property
    def _activations(self) -> Activations:
        # A text that is read at once must be one batch (`verify_max_model_len` in vllm/config/scheduler.py).
        at_once = self.length if keeps_nothing(self.facts) else 0
        return Activations(
            facts=self.facts,
            options=self.options,
            length=self.length,
            tokens=max(self.options.max_num_batched_tokens, at_once),
            generates=self.category is ModelCategory.LLM,
        )
