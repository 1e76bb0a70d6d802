"""Protos as the JSON that is stored of them, and back."""

from datetime import datetime
from typing import TypeVar

from google.protobuf.any_pb2 import Any
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import status_pb2

from moorage_common.core.errors import FieldViolation, InvalidArgument
from moorage_registry.core.records import Json

M = TypeVar("M", bound=Message)


def to_json(message: Message) -> Json:
    """Returns the JSON form of a proto, with its own field names."""
    return MessageToDict(message, preserving_proto_field_name=True)


def error_to_json(error: status_pb2.Status, *, field: str = "error") -> Json:
    """Returns the JSON form of a reported error, less the details of kinds that are not known here.

    Raises:
        InvalidArgument: Its code is OK.
    """
    if error.code == 0:
        violation = FieldViolation(f"{field}.code", "is OK, which is no error")
        raise InvalidArgument(f"{field} is no error", violations=[violation])
    known = status_pb2.Status(code=error.code, message=error.message)
    known.details.extend(detail for detail in error.details if _is_known(detail))
    return to_json(known)


def optional_error(message: Message, field: str = "error") -> Json | None:
    """Returns the JSON form of a reported error that may be absent."""
    return error_to_json(getattr(message, field), field=field) if message.HasField(field) else None


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


def _is_known(detail: Any) -> bool:
    try:
        to_json(detail)
    except (TypeError, DecodeError):
        return False
    return True


def error_to_proto(error: Json | None) -> status_pb2.Status | None:
    """Returns a stored error; None stays absent."""
    return from_json(error, status_pb2.Status()) if error else None
