"""Protos as the JSON that is stored of them, and back."""

from datetime import datetime
from typing import TypeVar

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import status_pb2

from moorage_registry.core.records import Json

M = TypeVar("M", bound=Message)


def to_json(message: Message) -> Json:
    """Returns the JSON form of a proto, with its own field names."""
    return MessageToDict(message, preserving_proto_field_name=True)


def optional_json(message: Message, field: str) -> Json | None:
    """Returns the JSON form of a field that may be absent."""
    return to_json(getattr(message, field)) if message.HasField(field) else None


def from_json(json: Json | None, message: M) -> M:
    """Fills a proto from its JSON form. Fields that a newer version stored are passed over."""
    return ParseDict(json or {}, message, ignore_unknown_fields=True)


def timestamp(moment: datetime | None) -> Timestamp | None:
    """Returns a moment as a proto; None stays absent."""
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def error_to_proto(error: Json | None) -> status_pb2.Status | None:
    """Returns a stored error; None stays absent."""
    return from_json(error, status_pb2.Status()) if error else None
