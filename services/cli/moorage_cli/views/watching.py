"""The events of the watch, one line each."""

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp

from moorage.registry.v1.watch_service_pb2 import ResourceKind, WatchOperation, WatchResponse
from moorage_cli.views.changes import Change, differences, word

KINDS = {
    "worker": ResourceKind.RESOURCE_KIND_WORKER,
    "model": ResourceKind.RESOURCE_KIND_MODEL,
    "instance": ResourceKind.RESOURCE_KIND_INSTANCE,
    "artifact": ResourceKind.RESOURCE_KIND_ARTIFACT,
    "copy": ResourceKind.RESOURCE_KIND_ARTIFACT_COPY,
    "download": ResourceKind.RESOURCE_KIND_DOWNLOAD,
}
"""Kinds of resources by the field that an event carries them in."""
_CHANGES_TOLD = 4
_KIND_WIDTH = max(len(kind) for kind in KINDS)
_ALWAYS_DIFFERENT = (
    "name",
    "uid",
    "etag",
    "version",
    "create_time",
    "update_time",
    "state_time",
    "generation",
)
_TOLD_BY_OTHERS = (
    # The summary tells what these are made of; the message, what the code and the details are.
    "explanation.workers",
    "explanation.rejections",
    "explanation.reason_counts",
    "explanation.verdict",
    "placement.",
    "error.code",
    "error.details",
    "resolution.error.code",
    "resolution.error.details",
    "pull.error.code",
    "pull.error.details",
)
Resource = Any
"""Any message that an event carries: the generated classes have no common base that says so."""


def resource_of(event: WatchResponse) -> Resource:
    """Returns what an event is about; None for a bookmark."""
    kind = event.WhichOneof("resource")
    return getattr(event, kind) if kind else None


def event_line(event: WatchResponse, before: Resource, *, zone: tzinfo | None = None) -> str:
    """Returns an event as a line: time, kind, name, what changed.

    Args:
        event: What happened.
        before: The resource as it was last seen. None: it was not.
        zone: Of the time. None: the local one.
    """
    kind = event.WhichOneof("resource") or ""
    time = moment(event.time, zone=zone)
    return f"{time}  {kind:<{_KIND_WIDTH}}  {resource_of(event).name}  {_what(event, before)}".rstrip()


def moment(time: Timestamp, *, zone: tzinfo | None = None) -> str:
    """Returns when something was, by the clock, e.g. "03:12:07"."""
    return clock(time.ToDatetime(tzinfo=UTC), zone=zone)


def clock(time: datetime, *, zone: tzinfo | None = None) -> str:
    """Returns the time of day, e.g. "03:12:07"."""
    return time.astimezone(zone).strftime("%H:%M:%S")


def _what(event: WatchResponse, before: Resource) -> str:
    after = resource_of(event)
    match event.operation:
        case WatchOperation.WATCH_OPERATION_CREATED:
            return ", ".join(part for part in ("created", _state_of(after)) if part)
        case WatchOperation.WATCH_OPERATION_DELETED:
            return "deleted"
    if before is None or before.uid != after.uid:
        # What it was is not known: what it is has to do.
        return _state_of(after) or "changed"
    return _changed(_as_json(before), _as_json(after)) or "changed"


def _state_of(resource: Resource) -> str:
    found = _as_json(resource)
    return word("state", found["state"]) if "state" in found else ""


def _changed(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    changes = [change for change in differences(before, after) if _is_told(change)]
    state = [change.step for change in changes if change.path == "state"]
    others = [str(change) for change in changes if change.path != "state"]
    told = [*state, *others[:_CHANGES_TOLD]]
    left = len(others) - _CHANGES_TOLD
    return "; ".join([*told, f"and {left} more"] if left > 0 else told)


def _is_told(change: Change) -> bool:
    if change.path in _ALWAYS_DIFFERENT or change.path.startswith(_TOLD_BY_OTHERS):
        return False
    # What is available follows from the rest; what reads the same tells nothing.
    return not change.path.endswith("available_bytes") and (
        word(change.path, change.before) != word(change.path, change.after)
    )


def _as_json(resource: Resource) -> dict[str, object]:
    # Fields at their defaults too: "false → true" tells more than "true".
    return MessageToDict(
        resource, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
