"""Which resources a watcher wants to hear of."""

import re
from collections.abc import Collection

from moorage_common.core.errors import FieldViolation, InvalidArgument
from moorage_common.core.names import (
    ARTIFACT,
    ARTIFACT_COPY,
    DOWNLOAD,
    INSTANCE,
    MODEL,
    WORKER,
    NamePattern,
)
from moorage_registry.core.records import Kind

_ANY = "-"
_KINDS: dict[Kind, NamePattern] = {
    Kind.WORKER: WORKER,
    Kind.MODEL: MODEL,
    Kind.INSTANCE: INSTANCE,
    Kind.ARTIFACT: ARTIFACT,
    Kind.ARTIFACT_COPY: ARTIFACT_COPY,
    Kind.DOWNLOAD: DOWNLOAD,
}


class Selection:
    """Resources by kind and by name."""

    def __init__(self, kinds: Collection[Kind], names: Collection[str]) -> None:
        """Takes what is wanted; of what is empty, everything is.

        Args:
            kinds: Kinds of resources.
            names: Full names; an id of "-" stands for any.

        Raises:
            InvalidArgument: Names that no resource could have; every one is listed.
        """
        _check(names)
        self._names = frozenset(name for name in names if _ANY not in name.split("/"))
        patterns = [_pattern(name) for name in names if name not in self._names]
        self._pattern = re.compile("|".join(patterns)) if patterns else None
        named = {kind for kind, form in _KINDS.items() if any(_is_of(name, form) for name in names)}
        wanted = frozenset(kinds or Kind)
        self.kinds = tuple(kind for kind in Kind if kind in wanted and (kind in named or not names))
        """Kinds of which anything is wanted."""
        self._everything = not names

    def has(self, kind: Kind, name: str) -> bool:
        """Whether a resource is wanted."""
        if kind not in self.kinds:
            return False
        return (
            self._everything
            or name in self._names
            or (self._pattern is not None and self._pattern.fullmatch(name) is not None)
        )


def _check(names: Collection[str]) -> None:
    forms = ", ".join(str(form) for form in _KINDS.values())
    violations = [
        FieldViolation(
            f"names[{index}]", f"{name[:80]!r} is no name of a resource; it must look like {forms}"
        )
        for index, name in enumerate(names)
        if not any(_is_of(name, form) for form in _KINDS.values())
    ]
    if violations:
        raise InvalidArgument(violations[0].description, violations=violations)


def _is_of(name: str, form: NamePattern) -> bool:
    parts = name.split("/")
    return form.matches("/".join("any" if part == _ANY else part for part in parts))


def _pattern(name: str) -> str:
    return "/".join("[^/]+" if part == _ANY else re.escape(part) for part in name.split("/"))
