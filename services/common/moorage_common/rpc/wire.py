"""Errors on the wire: the Status of a failed call travels in HTTP/2 headers, which must stay small."""

from bisect import bisect_right

from moorage_common.core.errors import FieldViolation, MoorageError, Shortage
from moorage_common.rpc.status import DETAILS_KEY, to_status

MAX_STATUS_BYTES = 4096
"""gRPC clients refuse more than 8 KiB of headers; in Base64, and beside the message, this stays below."""

_MAX_TEXT_BYTES = 384
_MAX_METADATA = 8


def call_details(error: MoorageError) -> tuple[str, tuple[tuple[str, bytes], ...]]:
    """Returns the message and the trailing metadata with which to end a call."""
    return _shorten(error.message), ((DETAILS_KEY, to_status(fit(error)).SerializeToString()),)


def fit(error: MoorageError) -> MoorageError:
    """Returns the error, or as much of it as headers can carry, saying how much was left out."""
    if _size(error) <= MAX_STATUS_BYTES:
        return error
    counts = range(len(error.violations) + len(error.shortages) + 1)
    too_many = bisect_right(counts, MAX_STATUS_BYTES, key=lambda count: _size(_first(error, count)))
    return _first(error, max(0, too_many - 1))


def _size(error: MoorageError) -> int:
    return to_status(error).ByteSize()


def _first(error: MoorageError, count: int) -> MoorageError:
    """The error with its first violations and shortages, so many in all, and texts of bounded length."""
    violations = [
        FieldViolation(_shorten(item.field), _shorten(item.description)) for item in error.violations[:count]
    ]
    left = count - len(violations)
    shortages = [
        Shortage(_shorten(item.subject), _shorten(item.description)) for item in error.shortages[:left]
    ]
    if left_out := len(error.violations) - len(violations):
        violations.append(FieldViolation("…", f"and {left_out} more"))
    if left_out := len(error.shortages) - len(shortages):
        shortages.append(Shortage("…", f"and {left_out} more"))
    return type(error)(
        _shorten(error.message),
        reason=error.reason,
        metadata={
            _shorten(key, 64): _shorten(value, 64)
            for key, value in list(error.metadata.items())[:_MAX_METADATA]
        },
        remedy=_shorten(error.remedy),
        retry_after_s=error.retry_after_s,
        resource=_shorten(error.resource),
        violations=violations,
        shortages=shortages,
    )


def _shorten(text: str, limit: int = _MAX_TEXT_BYTES) -> str:
    """Cuts a text to so many bytes of UTF-8."""
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    return encoded[: limit - 3].decode(errors="ignore") + "…"
