"""What simulations know of cards by their products."""

from dataclasses import dataclass

from moorage_common.core.states import AcceleratorKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A card."""

    kind: AcceleratorKind
    memory_bytes: int
    compute_capability: str = ""


_MIB = 2**20
_KNOWN = {
    "L40S": Product(kind=AcceleratorKind.CUDA, memory_bytes=46068 * _MIB, compute_capability="8.9"),
    "H100": Product(kind=AcceleratorKind.CUDA, memory_bytes=81559 * _MIB, compute_capability="9.0"),
    "M2 Ultra": Product(kind=AcceleratorKind.METAL, memory_bytes=0),
    "MI300X": Product(kind=AcceleratorKind.ROCM, memory_bytes=196288 * _MIB),
    "RTX 4090": Product(kind=AcceleratorKind.CUDA, memory_bytes=24564 * _MIB, compute_capability="8.9"),
}


def product_of(product: str) -> Product | None:
    """Returns what is known of a product. None: nothing is."""
    return _KNOWN.get(product.removeprefix("NVIDIA "))
