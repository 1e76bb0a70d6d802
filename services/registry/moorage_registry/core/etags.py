"""Optimistic concurrency: a change names the state that it was decided on."""

from moorage_common.core.errors import Aborted, ErrorReason
from moorage_registry.core.records import Record


def check_etag(name: str, etag: str, record: Record) -> None:
    """Checks that a resource is still as its caller read it. An empty etag accepts any state.

    Raises:
        Aborted: It changed since (ETAG_MISMATCH).
    """
    if etag and etag != record.etag:
        raise Aborted(
            f"{name} changed since its etag was read",
            reason=ErrorReason.ETAG_MISMATCH,
            remedy="Read it again, decide again, and retry with the new etag.",
            metadata={"resource": name, "etag": etag, "current_etag": record.etag},
        )
