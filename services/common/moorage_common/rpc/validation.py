"""The rules that stand in the protos (protovalidate), checked on messages."""

from typing import TYPE_CHECKING

from google.protobuf.message import Message

from moorage_common.core.errors import FieldViolation, InvalidArgument

if TYPE_CHECKING:
    import protovalidate


def violations_of(message: Message) -> list[FieldViolation]:
    """Returns every rule of the message's proto that it breaks; none if it is valid."""
    if not message.DESCRIPTOR.fields:
        return []
    # It takes 11 MB: an agent, which is hardly ever asked anything with fields, does without until then.
    import protovalidate  # noqa: PLC0415

    return [
        FieldViolation(field=_path(violation), description=violation.proto.message)
        for violation in protovalidate.collect_violations(message)
    ]


def validate(message: Message) -> None:
    """Checks a message against the rules in its proto.

    Raises:
        InvalidArgument: It breaks some; all of them are listed.
    """
    if violations := violations_of(message):
        said = "; ".join(f"{item.field}: {item.description}" for item in violations[:3])
        more = f"; and {len(violations) - 3} more" if len(violations) > 3 else ""
        raise InvalidArgument(f"the request is invalid: {said}{more}", violations=violations)


def _path(violation: "protovalidate.Violation") -> str:
    """Writes the field's path as the client would: ``model.replicas``, ``items[2].name``."""
    path = ""
    for element in violation.proto.field.elements if violation.proto.field else ():
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript is not None:
            key = element.subscript.value
            path += f"[{key}]" if isinstance(key, int) else f'["{key}"]'
    return path or "(request)"
