"""Number formats as vLLM computes in them, and what a model's tensors take after it has converted them."""

from collections.abc import Mapping
from fractions import Fraction

from moorage_common.core.placement import VllmDtype

WIDTHS: Mapping[VllmDtype, int] = {
    VllmDtype.BF16: 2,
    VllmDtype.F16: 2,
    VllmDtype.F32: 4,
    VllmDtype.FP8: 1,
}
"""Bytes of one value."""

_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""Formats in files that vLLM converts to the one that it computes in, with their bytes."""
_HALF = 2


def compute_width(dtype: VllmDtype | None) -> int:
    """Returns the bytes of one value that is computed with.

    Without a wish vLLM computes in 16 bits whatever the files hold: a model made in 32 bits is cast down
    (`_resolve_auto_dtype` in vllm/config/model.py, vLLM 0.32.0).
    """
    return _HALF if dtype is None else WIDTHS[dtype]


def stored_width(tensor_bytes_by_dtype: Mapping[str, int]) -> int:
    """Returns the bytes of one value in the float format that takes most of the files."""
    floats = {name: size for name, size in tensor_bytes_by_dtype.items() if name in _FLOATS}
    return _FLOATS[max(floats, key=lambda name: floats[name])] if floats else _HALF


def conversion(tensor_bytes_by_dtype: Mapping[str, int], dtype: VllmDtype | None) -> Fraction:
    """Returns how many bytes one byte of an unquantised model's files becomes when it is loaded."""
    stored = sum(tensor_bytes_by_dtype.values())
    width = compute_width(dtype)
    loaded = sum(
        Fraction(size * width, _FLOATS.get(name, width)) for name, size in tensor_bytes_by_dtype.items()
    )
    return Fraction(loaded, stored) if stored else Fraction(1)
