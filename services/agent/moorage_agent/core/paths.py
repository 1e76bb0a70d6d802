"""Which file paths of an artifact may become files on this node.

The paths come from sources that anybody can write. A path is refused unless every file system that
an agent may stand on keeps it as it is, under the directory that it is relative to.
"""

import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from moorage_common.core.errors import FieldViolation, InvalidArgument

_MAX_PATH_BYTES = 1024
_MAX_COMPONENT_BYTES = 255


def check_path(path: str) -> PurePosixPath:
    """Returns an artifact's path, known to stay below the directory that it is joined to.

    Raises:
        InvalidArgument: The path is absolute, leaves its directory, or is mangled by some file system.
    """
    fault = _fault(path)
    if fault is not None:
        raise InvalidArgument(
            f"the path {path[:80]!a} cannot be stored: {fault}",
            violations=[FieldViolation(field="path", description=fault)],
        )
    return PurePosixPath(path)


def check_paths(paths: Iterable[str]) -> list[PurePosixPath]:
    """Returns an artifact's paths, known to stay below its directory and to need different files.

    Raises:
        InvalidArgument: A path is refused, or two of them meet in one file.
    """
    checked = [check_path(path) for path in paths]
    files: dict[str, PurePosixPath] = {}
    for path in checked:
        other = files.setdefault(_folded(path), path)
        if other is not path:
            raise InvalidArgument(f"two files of the artifact would be one file here: {other} and {path}")
    for path in checked:
        for parent in list(path.parents)[:-1]:
            if _folded(parent) in files:
                raise InvalidArgument(f"{parent} would have to be both a file and a directory here")
    return checked


def _fault(path: str) -> str | None:
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "it is not UTF-8"
    if not path:
        return "it is empty"
    if len(encoded) > _MAX_PATH_BYTES:
        return f"it is longer than {_MAX_PATH_BYTES} bytes"
    if any(unicodedata.category(character) == "Cc" for character in path):
        return "it has control characters"
    if "\\" in path:
        return "it has backslashes"
    return next(filter(None, map(_component_fault, path.split("/"))), None)


def _component_fault(component: str) -> str | None:
    if not component:
        return "it is absolute or has an empty part"
    if component in {".", ".."}:
        return "it has . or .. as a part"
    if len(component.encode()) > _MAX_COMPONENT_BYTES:
        return f"a part of it is longer than {_MAX_COMPONENT_BYTES} bytes"
    if component[-1] in ". ":
        return "a part of it ends in a dot or a space"
    return None


def _folded(path: PurePosixPath) -> str:
    # What a file system that ignores case or normalises Unicode would take for the same name.
    return unicodedata.normalize("NFC", str(path).casefold())
