"""Field masks: which fields of a resource an update changes."""

from collections.abc import Set as AbstractSet

from google.protobuf.field_mask_pb2 import FieldMask

from moorage_common.core.errors import FieldViolation, InvalidArgument


def check_mask(mask: FieldMask, allowed: AbstractSet[str]) -> list[str]:
    """Returns the fields that a mask names.

    Raises:
        InvalidArgument: It names none, or some that cannot be changed; every one is listed.
    """
    paths = list(dict.fromkeys(mask.paths))
    violations = [
        FieldViolation("update_mask", f"{path!r} cannot be changed; these can: {', '.join(sorted(allowed))}")
        for path in paths
        if path not in allowed
    ]
    if not paths:
        violations = [FieldViolation("update_mask", "names no field")]
    if violations:
        raise InvalidArgument("the update mask is wrong", violations=violations)
    return paths
