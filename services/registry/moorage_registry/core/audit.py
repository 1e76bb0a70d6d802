"""Who changed what, and what differs between two states of a resource."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from moorage_registry.core.records import Json

_ALWAYS_DIFFERENT = frozenset({"etag", "version", "update_time"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One call that changed something, or was to."""

    actor: str
    peer: str
    user_agent: str
    method: str
    resource: str
    call_id: str
    request_id: str
    request: Json
    before: Json | None
    after: Json | None
    changed_fields: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord(AuditEntry):
    """An entry as it was written."""

    id: int
    time: datetime


def changed_fields(before: Json | None, after: Json | None) -> list[str]:
    """Returns the paths of the fields that differ, e.g. ``labels.zone``; less those that change with every change.

    Nothing is listed where the resource did not exist before, or does not exist after.
    """
    if before is None or after is None:
        return []
    return sorted(path for path in _differing(before, after) if path not in _ALWAYS_DIFFERENT)


def _differing(before: Json, after: Json, prefix: str = "") -> Iterator[str]:
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differing(dict(old), dict(new), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
