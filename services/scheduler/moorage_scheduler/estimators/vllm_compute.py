"""Activations in vLLM: the peak of the run with which it measures itself before it sizes its cache.

It computes as many tokens at once as it ever will, then samples for as many requests as it ever will
(`profile_run` in vllm/v1/worker/gpu_model_runner.py, vLLM 0.32.0). The first has been freed, but for the last
hidden states, when the second comes: the larger of both counts.
"""

from dataclasses import dataclass
from fractions import Fraction

from moorage_common.modelfiles.safetensors_facts import SafetensorsFacts
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.request import VllmOptions
from moorage_scheduler.estimators.vllm_dtypes import compute_width
from moorage_scheduler.estimators.vllm_graphs import graph_bytes
from moorage_scheduler.estimators.vllm_stages import Stage

_SAMPLER_BYTES = Fraction(77, 2)
"""What sampling takes for each logit, with the logits themselves in 16 and 32 bits.

Measured with PyTorch's sampler, which sorts them, on H100 with vLLM 0.11, 1,024 requests and 8,192 tokens (published
by the llm-d project): the peak was 5.64 GiB for Qwen3-32B on one GPU and on two, 5.56 for Qwen3-0.6B, 4.76 for
Llama-3.1-8B, 4.84 for Llama-3.3-70B, 7.38 for gpt-oss-20b and -120b: 38.2 to 38.6 bytes a logit beside one
hidden state per token. Samplers that do not sort (FlashInfer, Triton, in later versions where they run) take 14:
this is the upper end.
"""
_STREAMS = 3
"""Hidden states of each token that live at once: residual, input and output of a block's half."""
_ENCODER_BYTES = 2 * 2**30
"""Peak of a vision tower: an assumption, since no header tells the towers' widths.

Worked out for Qwen2.5-VL and the largest image that it takes: 65,536 patches, for each of which 12,820 values of
16 bits live in the tower's feed-forward layer, and its pixels.
"""
_ITEM_TOKENS = 16384
"""Tokens of the largest image or video, whose embeddings are kept: an assumption, but for Qwen2-VL to Qwen3-VL.

There it is what vLLM logs ("Encoder cache will be initialized with a budget of 16384 tokens").
"""
_PREFILL_TOKENS = 64 * 1024
"""Tokens of context that latent attention unpacks at once, at most: `determine_chunked_prefill_workspace_size`."""
_PAGE_TOKENS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Activations:
    """What computing takes beside weights and cache."""

    facts: SafetensorsFacts
    options: VllmOptions
    length: int
    """Tokens of the longest request."""
    tokens: int
    """Tokens computed at once."""
    generates: bool
    """Whether the model makes text."""

    def on_gpu(self, stage: Stage, shape: ParallelShape) -> int:
        """Returns the bytes on one GPU of a stage: the peak, and the graphs."""
        seen = bool(self.facts.tower_bytes) and not self.options.text_only
        peak = max(self._forward(shape.tensor), self._result(stage), _ENCODER_BYTES if seen else 0)
        kept = max(self.tokens, _ITEM_TOKENS) * self._hidden if seen else 0
        return peak + kept + self._unpacked(1) + self._graphs(stage)

    @property
    def _width(self) -> int:
        return compute_width(self.options.dtype)

    @property
    def _hidden(self) -> int:
        return self.facts.hidden_size * self._width

    def _forward(self, tensor: int) -> int:
        widest = max(self._dense(tensor), self._attention(tensor), self._experts(tensor))
        streams = _STREAMS * self.facts.hidden_size
        return self.tokens * (streams + widest) * self._width + self._unpacked_heads(tensor)

    def _dense(self, tensor: int) -> int:
        # Gate and up side by side, and their product.
        return -(-3 * self.facts.feed_forward_length // tensor)

    def _attention(self, tensor: int) -> int:
        # Queries, keys and values side by side, and the result.
        keys = max(1, self.facts.head_count_kv // tensor)
        return self.facts.head_size * (2 * -(-self.facts.head_count // tensor) + 2 * keys)

    def _experts(self, tensor: int) -> int:
        # `workspace_shapes` in vllm/model_executor/layers/fused_moe/experts/triton_moe.py.
        if not self.facts.expert_count:
            return 0
        hidden, expert = self.facts.hidden_size, -(-_expert_width(self.facts) // tensor)
        return self.facts.expert_used_count * (max(expert, hidden) + max(2 * expert, hidden)) + hidden

    def _result(self, stage: Stage) -> int:
        hidden = self.tokens * self._hidden
        if not stage.last:
            return hidden
        if not self.generates:
            # Pooled in 32 bits.
            return hidden + self.tokens * self.facts.hidden_size * 4
        logits = min(self.options.max_num_seqs, self.tokens) * self.facts.vocabulary_size
        return hidden + logits * _SAMPLER_BYTES.numerator // _SAMPLER_BYTES.denominator

    def _unpacked(self, heads: int) -> int:
        wanted = max(8 * self.length, 4 * self.options.max_num_seqs * _PAGE_TOKENS)
        values = heads * self.facts.latent_values_per_token
        return min(wanted, _PREFILL_TOKENS) * values * self._width

    def _unpacked_heads(self, tensor: int) -> int:
        if not self.facts.latent_values_per_token:
            return 0
        heads = -(-self.facts.head_count // tensor)
        values = 2 * heads * self.facts.head_size
        return self._unpacked(1) // self.facts.latent_values_per_token * values

    def _graphs(self, stage: Stage) -> int:
        if self.options.enforce_eager:
            return 0
        return graph_bytes(
            blocks=stage.blocks,
            max_num_seqs=self.options.max_num_seqs,
            max_num_batched_tokens=self.tokens,
            generates=self.generates,
        )


def _expert_width(facts: SafetensorsFacts) -> int:
    # Where the files do not say, an expert is taken to be as wide as a dense layer: the upper end.
    return facts.expert_feed_forward_length or facts.feed_forward_length
