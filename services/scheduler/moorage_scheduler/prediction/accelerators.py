"""What accelerators can do, looked up by the product's name as their drivers report it.

The table is `accelerators.csv` beside this module; each row says where its figures come from. A name matches a row if
one of the row's aliases is in it, word by word; the longest alias wins. A word beside it that makes another product
of it ("Ti", "Laptop", a MIG slice) is no match: of an unknown card nothing is said rather than something wrong.
"""

import csv
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from importlib import resources

from moorage_common.core.states import AcceleratorKind

_OTHER_PRODUCTS = frozenset(
    {"d", "embedded", "gre", "laptop", "m", "max", "maxq", "mig", "mobile", "nano", "nvl", "nx"}
    | {"pro", "se", "sff", "super", "ti", "ultra", "x", "xt", "xtx"}
)
"""Words that make another product of a name."""
_VIRTUAL = re.compile(r"\d+[abcq]")
"""The last word of a virtual GPU's name, e.g. "48q" of "NVIDIA L40S-48Q"."""
_WORD = re.compile(r"[a-z0-9]+")


class Link(StrEnum):
    """How cards of one worker reach each other."""

    NONE = "NONE"
    """There is one per worker."""
    PCIE = "PCIE"
    NVLINK = "NVLINK"
    XGMI = "XGMI"
    """AMD's Infinity Fabric."""
    HCCS = "HCCS"
    """Huawei's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceleratorSpec:
    """One product of the table."""

    product: str
    kind: AcceleratorKind
    memory_bytes: int
    """As its driver reports it where that is known, else nominal. 0: it shares the CPU's."""
    bytes_per_s: float
    """From its memory, at most."""
    flops: float
    """Dense, of FP16 or BF16 numbers; of FP32 ones where the product is slower with FP16."""
    fp8_flops: float
    """Dense, of FP8 numbers. 0: it does not compute them."""
    compute_capability: str
    """As its driver reports it, e.g. "8.9" or "gfx942". Empty: it has none."""
    link: Link
    link_bytes_per_s: float
    """To the other cards of its worker, each way."""
    source: str
    """Where these figures were published."""


def lookup(product: str) -> AcceleratorSpec | None:
    """Returns what a product can do, by its name as reported. None: the table does not know it."""
    return _lookup(product)


@cache
def table() -> tuple[AcceleratorSpec, ...]:
    """Returns every product, in the order of the table."""
    return tuple(_spec(row) for row in _rows())


@lru_cache(maxsize=1024)
def _lookup(product: str) -> AcceleratorSpec | None:
    words = _words(product)
    for alias, spec in _aliases():
        start = _position(words, alias)
        if start is not None:
            beside = {*words[:start], *words[start + len(alias) :]}
            known = not beside & _OTHER_PRODUCTS and not any(map(_VIRTUAL.fullmatch, beside))
            return spec if known else None
    return None


@cache
def _aliases() -> tuple[tuple[tuple[str, ...], AcceleratorSpec], ...]:
    """Every alias in words, longest first."""
    pairs = [
        (_words(alias), spec)
        for row, spec in zip(_rows(), table(), strict=True)
        for alias in row["aliases"].split("|")
    ]
    return tuple(sorted(pairs, key=lambda pair: (-len(pair[0]), -sum(map(len, pair[0])))))


@cache
def _rows() -> tuple[dict[str, str], ...]:
    file = resources.files(__package__).joinpath("accelerators.csv")
    return tuple(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def _spec(row: dict[str, str]) -> AcceleratorSpec:
    return AcceleratorSpec(
        product=row["product"],
        kind=AcceleratorKind(row["kind"]),
        memory_bytes=int(row["memory_mib"]) * 2**20,
        bytes_per_s=float(row["memory_gb_s"]) * 1e9,
        flops=float(row["fp16_tflops"]) * 1e12,
        fp8_flops=float(row["fp8_tflops"] or 0) * 1e12,
        compute_capability=row["capability"],
        link=Link(row["link"]),
        link_bytes_per_s=float(row["link_gb_s"] or 0) * 1e9,
        source=row["source"],
    )


def _words(name: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(name.lower()))


def _position(words: tuple[str, ...], alias: tuple[str, ...]) -> int | None:
    return next(
        (start for start in range(len(words)) if words[start : start + len(alias)] == alias),
        None,
    )
