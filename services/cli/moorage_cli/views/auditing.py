"""Audit records: who did what, and what that changed."""

from collections.abc import Iterable
from datetime import UTC, tzinfo

from google.protobuf.json_format import MessageToDict

from moorage.registry.v1.audit_service_pb2 import AuditRecord
from moorage_cli.views.changes import Change, differences
from moorage_cli.views.page import Rows


def audit_rows(records: Iterable[AuditRecord], *, zone: tzinfo | None = None) -> Rows:
    """Returns one row per record, with a line for each field that it changed.

    Args:
        records: In their order.
        zone: Of the times. None: the local one.
    """
    return Rows(
        ("TIME", "WHO", "WHAT", "ON", "CHANGED"),
        tuple(
            (
                record.time.ToDatetime(tzinfo=UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S"),
                record.actor or record.peer or "not said",
                record.method.rpartition("/")[2],
                record.resource,
                _changed(record),
            )
            for record in records
        ),
    )


def _changed(record: AuditRecord) -> str:
    if not record.HasField("before"):
        return "created" if record.HasField("after") else "nothing"
    if not record.HasField("after"):
        return "deleted"
    changes = differences(MessageToDict(record.before), MessageToDict(record.after))
    # Structs keep no order.
    told = sorted(str(change) for change in changes if _is_named(change, record))
    return "\n".join(told) or ", ".join(record.changed_fields) or "nothing"


def _is_named(change: Change, record: AuditRecord) -> bool:
    """Whether a change is of a field that the record names; others change with every change."""
    return any(
        change.path == field or change.path.startswith((f"{field}.", f"{field}["))
        for field in record.changed_fields
    )
