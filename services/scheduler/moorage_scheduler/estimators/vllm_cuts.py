"""Over how many GPUs vLLM can cut a model's layers.

Every width that is cut must divide, or the engine stops with an error: attention heads (`verify_with_parallel_config`
in vllm/config/model.py), heads of a vision tower (`Qwen2_5_VisionAttention`), key/value heads unless several
ranks share one (`QKVParallelLinear`), the feed-forward layer (`divide` in vllm/distributed/utils.py), the vocabulary
padded to 64 (vocab_parallel_embedding.py), and each rank's part must be whole groups of a quantisation (`group_size` in
auto_awq.py and marlin_utils.py, `validate_fp8_block_shape` in fp8_utils.py). All in vLLM 0.32.0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd

from moorage_common.modelfiles.safetensors_facts import SafetensorsFacts
from moorage_scheduler.core.request import VllmOptions

_VOCABULARY_STEP = 64
_GROUPED = frozenset(
    {"auto_awq", "auto_gptq", "awq", "awq_marlin", "compressed-tensors", "fp8", "gptq", "gptq_marlin"}
)
"""Quantisations that refuse to cut a group; others pad what does not fit, or have no groups."""
_SQUARE = frozenset({"fp8"})
"""Those of them whose groups are squares; others' run along a layer's input, which a block's second half cuts."""
_ENCODERS = ("Bert", "BERT", "Roberta", "Gte")
"""In names of architectures that read a text at once and keep nothing of it: vLLM's models/bert*.py and roberta.py."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Width:
    """Something that tensor ranks share out."""

    name: str
    size: int
    group: int = 1
    """What a rank's part must be a multiple of, if it is not all."""

    def misfit(self, tensor: int) -> str:
        """Returns why it cannot be shared by so many ranks. Empty: it can."""
        part, left = divmod(self.size, tensor)
        if left:
            return f"{self.size} {self.name} / {tensor} leaves {left}"
        if tensor > 1 and part % self.group:
            return f"{self.size} {self.name} / {tensor} = {part}, which is no multiple of {self.group}"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuts:
    """What limits the ways to cut a model over GPUs."""

    widths: tuple[Width, ...]
    head_count_kv: int
    """0: not known, or one that every rank has whole."""
    head_group: int = 1
    """What a rank's keys must be a multiple of, in heads."""
    block_count: int
    """How many pipeline stages there can be. 0: not known, which allows any."""

    def misfit(self, tensor: int) -> str:
        """Returns why layers cannot be cut over so many GPUs, as arithmetic. Empty: they can."""
        return next(self._misfits(tensor), "")

    def _misfits(self, tensor: int) -> Iterator[str]:
        yield from filter(None, (width.misfit(tensor) for width in self.widths))
        heads = self.head_count_kv
        if heads and max(heads, tensor) % min(heads, tensor):
            yield f"neither of {heads} key/value heads and {tensor} GPUs divides the other"
        elif heads and tensor > 1 and max(1, heads // tensor) % self.head_group:
            yield f"{heads} key/value heads over {tensor} GPUs are no multiple of {self.head_group} on each"


def tensor_sizes(cuts: Cuts, limit: int) -> tuple[int, ...]:
    """Returns over how many GPUs layers can be cut, up to a limit, in rising order."""
    return tuple(tensor for tensor in range(1, limit + 1) if not cuts.misfit(tensor))


def cuts_of(facts: SafetensorsFacts, options: VllmOptions) -> Cuts:
    """Returns what limits the ways to cut a model over GPUs."""
    group = (facts.quantization_group_size if facts.quantization in _GROUPED else 0) or 1
    heads = Width(name="attention heads", size=facts.head_count, group=_in_heads(group, facts.head_size))
    widths = [
        heads,
        Width(name="vision heads", size=0 if options.text_only else facts.vision_head_count),
        Width(name="feed-forward values", size=facts.feed_forward_length, group=group),
        Width(name="values of an expert", size=facts.expert_feed_forward_length, group=group),
        vocabulary(facts.vocabulary_size),
    ]
    latent = bool(facts.latent_values_per_token)
    return Cuts(
        widths=tuple(width for width in widths if width.size),
        head_count_kv=0 if latent else facts.head_count_kv,
        head_group=_in_heads(group, facts.head_size) if facts.quantization in _SQUARE else 1,
        block_count=1 if keeps_nothing(facts) else facts.block_count,
    )


def vocabulary(size: int) -> Width:
    """Returns the width of an embedding, padded as vLLM pads it."""
    padded = -(-size // _VOCABULARY_STEP) * _VOCABULARY_STEP
    return Width(name="rows of the padded vocabulary", size=padded)


def keeps_nothing(facts: SafetensorsFacts) -> bool:
    """Returns whether a model keeps no keys and values; vLLM does not cut its layers into stages either."""
    return any(name in facts.architecture for name in _ENCODERS)


def _in_heads(group: int, head_size: int) -> int:
    return group // gcd(group, head_size)
