"""The legs of a token's way: each is a memory that is read, with the device that reads it, or a link."""

from collections.abc import Sequence
from dataclasses import dataclass

from moorage_common.core.states import EngineKind
from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.prediction.accelerators import AcceleratorSpec, lookup
from moorage_scheduler.prediction.hardware import WorkerHardware
from moorage_scheduler.prediction.rates import (
    CARD_RATES,
    CORE_CONTEXT_BYTES_PER_S,
    CORE_CONTEXT_PRODUCTS_PER_S,
    CORE_MEMORY_BYTES_PER_S,
    RAM_SHARE,
    core_rates,
)
from moorage_scheduler.prediction.shape import Block, ModelShape


class UnknownCard(Exception):
    """A card that the table does not know takes part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One leg, for one token."""

    worker: str
    pool: str
    """Empty: a link."""
    device: str = ""
    """What it is calibrated by: a card's product, or a CPU. Empty: a link, which is not calibrated."""
    read_bytes: float
    """When a token is generated."""
    decode_s: float
    """The time of one generated token."""
    prefill_s: float
    """The time of one token of a prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """Layers that are computed in one place, one after the other."""

    shape: ModelShape
    blocks: Sequence[Block]
    depth: int
    """Tokens of context."""

    @property
    def weight_bytes(self) -> float:
        """Bytes of weights read for one token."""
        return sum(block.weight_bytes for block in self.blocks)

    @property
    def held_bytes(self) -> float:
        """Bytes of all weights: the next token uses other experts."""
        return sum(block.weight_bytes + block.idle_bytes for block in self.blocks)

    @property
    def context_bytes(self) -> float:
        """Bytes read of what is kept of the context."""
        return sum(block.context_bytes(self.depth) for block in self.blocks)

    @property
    def operations(self) -> float:
        """Multiplications and additions for one token of a prompt."""
        return 2 * self.weight_bytes / self.shape.bytes_per_weight


def card_of(hardware: WorkerHardware, pool: str) -> AcceleratorSpec:
    """Returns the card behind a memory pool.

    Raises:
        UnknownCard: The table does not know it.
    """
    # One memory for both is the CPU's pool; all of its accelerators are one.
    product = next(iter(hardware.products.values()), "") if pool == RAM else hardware.products.get(pool, "")
    spec = lookup(product)
    if spec is None:
        raise UnknownCard(product)
    return spec


def on_card(
    engine: EngineKind,
    card: AcceleratorSpec,
    layers: Layers,
    *,
    worker: str,
    pool: str,
    ranks: int = 1,
) -> Leg:
    """Layers on an accelerator, or a part of each if several ranks share them out."""
    rates = CARD_RATES[engine][card.kind]
    read = (layers.weight_bytes + layers.context_bytes) / ranks
    fp8 = layers.shape.weight_type == "fp8" and card.fp8_flops
    flops = (card.fp8_flops if fp8 else card.flops) * rates.compute_share
    return Leg(
        worker=worker,
        pool=pool,
        device=card.product,
        read_bytes=read,
        decode_s=read / (card.bytes_per_s * rates.memory_share) + len(layers.blocks) * rates.layer_s,
        prefill_s=layers.operations / ranks / flops,
    )


def on_cpu(hardware: WorkerHardware, layers: Layers, *, worker: str, threads: int) -> Leg:
    """Layers in RAM."""
    rates = core_rates(layers.shape.weight_type)
    cores = min(threads, hardware.cores) if threads else hardware.cores
    weights, kept = layers.weight_bytes, layers.context_bytes
    products = sum(block.context_products(layers.depth) for block in layers.blocks)
    computing_s = weights / rates.bytes_per_s
    attending_s = max(kept / CORE_CONTEXT_BYTES_PER_S, products / CORE_CONTEXT_PRODUCTS_PER_S)
    from_ram = (weights + kept) * _missing(layers.held_bytes + kept, hardware.cache_bytes)
    cores_s = (computing_s + attending_s + from_ram / CORE_MEMORY_BYTES_PER_S) / cores
    return Leg(
        worker=worker,
        pool=RAM,
        device=hardware.cpu or worker,
        read_bytes=weights + kept,
        decode_s=max(cores_s, from_ram / (hardware.ram_speed * RAM_SHARE)),
        prefill_s=layers.operations / (rates.flops * cores),
    )


def _missing(size: float, cache_bytes: int) -> float:
    """Which part of so many bytes comes from RAM each time: the cache holds the others from one token to the next.

    What is read in a circle pushes itself out: a half more than the cache holds, and nothing is left of it.
    """
    if not cache_bytes:
        return 1.0
    return min(1.0, max(0.0, 2 * (size / cache_bytes - 1)))
