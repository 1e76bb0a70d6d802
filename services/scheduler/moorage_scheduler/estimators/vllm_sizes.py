"""What a model needs in vLLM, given in bytes: used as given, nothing is computed from an architecture."""

from dataclasses import dataclass
from itertools import accumulate, pairwise

from moorage_common.core.states import AcceleratorKind
from moorage_scheduler.core.memory import Parts
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.request import VllmOptions
from moorage_scheduler.core.sizes import VllmSizes
from moorage_scheduler.estimators.vllm_cuts import Cuts, Width, vocabulary
from moorage_scheduler.estimators.vllm_overhead import gpu_overhead, host_overhead
from moorage_scheduler.estimators.vllm_stages import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class SizesEstimate:
    """What one GPU and one worker need of a model whose sizes were given."""

    sizes: VllmSizes
    options: VllmOptions
    length: int
    """Tokens of the longest request."""

    @property
    def block_count(self) -> int:
        """How many blocks the model has. 0: not known."""
        return len(self.sizes.block_weight_bytes) or self.sizes.block_count or len(self.sizes.block_kv_bytes)

    @property
    def cuts(self) -> Cuts:
        """What limits the ways to cut the model over GPUs."""
        widths = (
            Width(name="attention heads", size=self.sizes.attention_head_count),
            Width(name="vision heads", size=0 if self.options.text_only else self.sizes.vision_head_count),
            vocabulary(self.sizes.vocabulary_size),
        )
        return Cuts(
            widths=tuple(width for width in widths if width.size),
            # One head is one that every rank has whole.
            head_count_kv=self.sizes.kv_head_count if self.sizes.kv_head_count > 1 else 0,
            block_count=self.block_count,
        )

    def on_gpu(self, stage: Stage, shape: ParallelShape, kind: AcceleratorKind) -> Parts:  # noqa: ARG002
        """Returns what one GPU of a stage holds; its kind makes no difference."""
        given = self.sizes.gpu_overhead_bytes
        return Parts(
            weights=-(-self._weights(stage) // shape.tensor),
            kv_cache=-(-self._kv_cache(stage) // self._kv_parts(shape.tensor)),
            compute=self.sizes.gpu_compute_bytes,
            overhead=gpu_overhead(shape) if given is None else given,
        )

    def on_host(self, shape: ParallelShape, *, ranks: int, leads: bool) -> Parts:  # noqa: ARG002
        """Returns what one worker's RAM holds, for so many GPUs of its own."""
        given = self.sizes.ram_overhead_bytes
        return Parts(
            kv_cache=self.options.host_kv_cache_bytes,
            compute=self.sizes.ram_compute_bytes,
            overhead=host_overhead(ranks=ranks, leads=leads) if given is None else given,
        )

    def _weights(self, stage: Stage) -> int:
        blocks = self._of_stage(self._blocks(), self.sizes.block_weight_bytes, stage)
        first = self.sizes.token_embedding_bytes if stage.first else 0
        last = self.sizes.output_bytes + self.sizes.draft_bytes if stage.last else 0
        tower = 0 if self.options.text_only else self.sizes.projector_bytes
        return blocks + stage.part_of(self.sizes.lora_bytes) + first + last + tower

    def _blocks(self) -> int:
        if not self.sizes.weight_bytes:
            return sum(self.sizes.block_weight_bytes)
        return max(0, self.sizes.weight_bytes - self.sizes.token_embedding_bytes - self.sizes.output_bytes)

    def _kv_cache(self, stage: Stage) -> int:
        given = self.sizes.block_kv_bytes
        if given:
            return self._of_stage(sum(given), given, stage)
        each = self.sizes.kv_bytes_per_token_per_block * self.length
        return stage.part_of(each * max(1, self.block_count))

    def _kv_parts(self, tensor: int) -> int:
        return min(tensor, self.sizes.kv_head_count or tensor)

    @staticmethod
    def _of_stage(total: int, each: tuple[int, ...], stage: Stage) -> int:
        # In proportion to what each block has; added up first, so that all stages together have the total.
        if len(each) < stage.stop or not sum(each):
            return stage.part_of(total)
        sums = [total * part // sum(each) for part in accumulate(each, initial=0)]
        return sum(after - before for before, after in list(pairwise(sums))[stage.start : stage.stop])
