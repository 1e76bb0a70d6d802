"""How the fields of a message are read, by what their protos say of them."""

from collections.abc import Mapping

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from moorage_cli.simulation.forms import Form, Read
from moorage_cli.simulation.scalars import enum_value, integer, number, rate, size, truth

_INTEGERS = (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64)
_READS: Mapping[int, Read] = {
    FieldDescriptor.CPPTYPE_STRING: str,
    FieldDescriptor.CPPTYPE_BOOL: truth,
    FieldDescriptor.CPPTYPE_DOUBLE: number,
    FieldDescriptor.CPPTYPE_FLOAT: number,
    **dict.fromkeys(_INTEGERS, integer),
}


def read_of(field: FieldDescriptor, form: Form) -> Read:
    """Returns how the text of a field becomes its value."""
    if field.name in form.reads:
        return form.reads[field.name]
    enum = field.enum_type
    if enum is not None:
        return lambda text: enum_value(text, enum)
    if field.cpp_type in _INTEGERS and field.name.endswith("bytes_per_s"):
        return rate
    if field.cpp_type in _INTEGERS and "bytes" in field.name.split("_"):
        return size
    return _READS[field.cpp_type]


def is_text(field: FieldDescriptor) -> bool:
    """Whether a field holds words, and no numbers."""
    return field.cpp_type == FieldDescriptor.CPPTYPE_STRING


def choice_of(field: FieldDescriptor) -> str:
    """Returns the oneof that a field is one choice of. Empty: of none."""
    oneof = field.containing_oneof
    # One with a presence of its own is a oneof by itself, with an underscore.
    return "" if oneof is None or oneof.name.startswith("_") else str(oneof.name)


def choices_of(descriptor: Descriptor, form: Form) -> list[str]:
    """Returns the keys of which one must be given."""
    if not form.one_of:
        return []
    return [form.key_of(each.name) for each in descriptor.oneofs_by_name[form.one_of].fields]
