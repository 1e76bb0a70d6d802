"""Changes as the events that watchers get.

An event is encoded once, in the transaction that makes the change, without its revision, which is not known yet.
Appending an encoded message to another merges the two: so the revision is added later without decoding anything.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from google.protobuf.message import Message

from moorage.registry.v1 import watch_service_pb2 as watch_pb2
from moorage_common.rpc.enums import EnumMap
from moorage_registry.convert.artifacts import artifact_to_proto, copy_to_proto, download_to_proto
from moorage_registry.convert.instances import instance_to_proto
from moorage_registry.convert.json import timestamp
from moorage_registry.convert.models import model_to_proto
from moorage_registry.convert.workers import worker_to_proto
from moorage_registry.core.changes import Change, Operation, Resource, WorkerView
from moorage_registry.core.records import Artifact, ArtifactCopy, Download, Instance, Kind, Model

KIND = EnumMap(watch_pb2.ResourceKind, Kind)

# A field's number, and that its length and as many bytes follow.
_EVENTS_TAG = bytes([watch_pb2.WatchResponse.EVENTS_FIELD_NUMBER << 3 | 2])

_OPERATION = {
    Operation.CREATED: watch_pb2.WATCH_OPERATION_CREATED,
    Operation.UPDATED: watch_pb2.WATCH_OPERATION_UPDATED,
    Operation.DELETED: watch_pb2.WATCH_OPERATION_DELETED,
}


def encode_change(change: Change, now: datetime) -> bytes:
    """Encodes a change without its revision."""
    return watch_pb2.WatchResponse(
        operation=_OPERATION[change.operation], time=timestamp(now), **_resource(change.resource)
    ).SerializeToString()


def encode_current(resource: Resource) -> bytes:
    """Encodes a resource as it is, for a watcher's initial state."""
    return watch_pb2.WatchResponse(
        operation=watch_pb2.WATCH_OPERATION_CURRENT, **_resource(resource)
    ).SerializeToString()


def encode_bookmark(revision: int) -> bytes:
    """Encodes the end of the initial state."""
    return watch_pb2.WatchResponse(
        operation=watch_pb2.WATCH_OPERATION_BOOKMARK, revision=revision
    ).SerializeToString()


def encode_batch(messages: Sequence[bytes]) -> bytes:
    """Puts encoded events into one response, without decoding any."""
    return b"".join(part for message in messages for part in (_EVENTS_TAG, _varint(len(message)), message))


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def with_revision(event: bytes, revision: int) -> bytes:
    """Adds the revision to an encoded event."""
    return event + watch_pb2.WatchResponse(revision=revision).SerializeToString()


def resource_to_proto(resource: Resource) -> Message:
    """Returns a resource as watchers see it."""
    message: Message
    [message] = _resource(resource).values()
    return message


def _resource(resource: Resource) -> dict[str, Any]:
    match resource:
        case WorkerView():
            return {"worker": worker_to_proto(resource)}
        case Model():
            return {"model": model_to_proto(resource)}
        case Instance():
            return {"instance": instance_to_proto(resource)}
        case Artifact():
            return {"artifact": artifact_to_proto(resource)}
        case ArtifactCopy():
            return {"copy": copy_to_proto(resource)}
        case Download():
            return {"download": download_to_proto(resource)}
