"""Protos as the JSON that is stored of them, and back.

It is the protos' own JSON with field names as they are, but for large integers, which are numbers: so messages are made
of it by their constructors, at a tenth of the parser's price.
"""

from base64 import b64encode
from datetime import datetime
from math import inf, isfinite
from typing import Any, TypeVar

from google.protobuf import any_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import status_pb2

from moorage_common.core.errors import FieldViolation, InvalidArgument
from moorage_registry.core.records import Json

M = TypeVar("M", bound=Message)

_NOT_FINITE = {inf: "Infinity", -inf: "-Infinity"}


def to_json(message: Message) -> Json:
    """Returns the JSON form of a proto."""
    if message.DESCRIPTOR.full_name.startswith("google.protobuf."):
        return MessageToDict(message, preserving_proto_field_name=True)
    return {field.name: _field(field, value) for field, value in message.ListFields()}


def _field(field: FieldDescriptor, value: Any) -> object:  # noqa: ANN401 - what a field holds
    if field.message_type and field.message_type.GetOptions().map_entry:
        of_values = field.message_type.fields_by_name["value"]
        return {str(key): _value(of_values, each) for key, each in value.items()}
    return [_value(field, each) for each in value] if field.is_repeated else _value(field, value)


def _value(field: FieldDescriptor, value: object) -> object:
    match value:
        case Message():
            return to_json(value)
        case bytes():
            return b64encode(value).decode()
        case float() if not isfinite(value):
            return _NOT_FINITE.get(value, "NaN")
        case int() if field.enum_type:
            known = field.enum_type.values_by_number.get(value)
            return known.name if known else value
    return value


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
    try:
        message.MergeFrom(type(message)(**(json or {})))
    except (TypeError, ValueError):
        # What only the parser reads: moments, details of any kind, what other versions stored.
        ParseDict(json or {}, message, ignore_unknown_fields=True)
    return message


def timestamp(moment: datetime | None) -> Timestamp | None:
    """Returns a moment as a proto; None stays absent."""
    if moment is None:
        return None
    # As `FromDatetime` does, in one step: every record has three of them.
    seconds = int(moment.replace(microsecond=0).timestamp())
    return Timestamp(seconds=seconds, nanos=1000 * moment.microsecond)


def _is_known(detail: any_pb2.Any) -> bool:
    try:
        to_json(detail)
    except (TypeError, DecodeError):
        return False
    return True


def error_to_proto(error: Json | None) -> status_pb2.Status | None:
    """Returns a stored error; None stays absent."""
    return from_json(error, status_pb2.Status()) if error else None
