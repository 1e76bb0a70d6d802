"""Errors on the wire: the Status of a failed call travels in HTTP/2 headers, which must stay small."""

from moorage_common.core.errors import FieldViolation, MoorageError, Shortage
from moorage_common.rpc.status import DETAILS_KEY, to_status

MAX_STATUS_BYTES = 4096
"""gRPC clients refuse more than 8 KiB of headers; in Base64, and beside the message, this stays below."""

_MAX_TEXT = 512


def call_details(error: MoorageError) -> tuple[str, tuple[tuple[str, bytes], ...]]:
    """Returns the message and the trailing metadata with which to end a call."""
    return _shorten(error.message), ((DETAILS_KEY, to_status(fit(error)).SerializeToString()),)


def fit(error: MoorageError) -> MoorageError:
    """Returns the error, or as much of it as headers can carry, saying how much was left out."""
    if to_status(error).ByteSize() <= MAX_STATUS_BYTES:
        return error
    violations, shortages = list(error.violations), list(error.shortages)
    shortened = _rebuild(error, violations, shortages)
    while (violations or shortages) and to_status(shortened).ByteSize() > MAX_STATUS_BYTES:
        (violations or shortages).pop()
        shortened = _rebuild(error, violations, shortages)
    return shortened


def _rebuild(
    error: MoorageError, violations: list[FieldViolation], shortages: list[Shortage]
) -> MoorageError:
    """The error with texts of bounded length and only these of its violations and shortages."""
    kept_violations = [FieldViolation(_shorten(v.field), _shorten(v.description)) for v in violations]
    if left_out := len(error.violations) - len(violations):
        kept_violations.append(FieldViolation("…", f"and {left_out} more"))
    kept_shortages = [Shortage(_shorten(s.subject), _shorten(s.description)) for s in shortages]
    if left_out := len(error.shortages) - len(shortages):
        kept_shortages.append(Shortage("…", f"and {left_out} more"))
    return type(error)(
        _shorten(error.message),
        reason=error.reason,
        metadata={key: _shorten(value, 128) for key, value in list(error.metadata.items())[:8]},
        remedy=_shorten(error.remedy),
        retry_after_s=error.retry_after_s,
        resource=error.resource,
        violations=kept_violations,
        shortages=kept_shortages,
    )


def _shorten(text: str, limit: int = _MAX_TEXT) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
