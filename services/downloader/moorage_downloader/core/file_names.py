"""Which names of files may come from a source: those that mean the same on every disk.

Names come from servers that may be hostile, and become paths under the cache and under each worker's storage
root. Nothing here touches a disk.
"""

import unicodedata
from collections.abc import Callable, Iterable

from moorage_common.core.errors import ErrorReason, FailedPrecondition

MAX_PATH_BYTES = 1024
MAX_SEGMENT_BYTES = 255
"""What most filesystems take."""

# Wildcards and separators of some system or other.
_FORBIDDEN = frozenset('\\<>:"|?*')
# Device names that Windows finds in every folder.
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul"}
    | {f"{device}{number}" for device in ("com", "lpt") for number in range(1, 10)}
)


def check_file_names(paths: Iterable[str]) -> None:
    """Checks the paths of the files that one artifact would have.

    Raises:
        FailedPrecondition: SOURCE_INVALID, with the first name that will not do and why.
    """
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in paths:
        if problem := _problem(path):
            raise _refused(path, problem)
        folded = path.casefold()
        if folded in seen:
            raise _refused(path, f"some disks take it for {seen[folded]!r}")
        seen[folded] = path
        segments = folded.split("/")
        folders.update({"/".join(segments[:end]): path for end in range(1, len(segments))})
    for folded, path in seen.items():
        if folded in folders:
            raise _refused(path, f"it is also a folder, of {folders[folded]!r}")


def _problem(path: str) -> str:
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "it is not Unicode"
    if size > MAX_PATH_BYTES:
        return f"it is longer than {MAX_PATH_BYTES} bytes"
    if unicodedata.normalize("NFC", path) != path:
        return "its accents are written in a form that some disks change"
    return next((problem for segment in path.split("/") if (problem := _segment_problem(segment))), "")


def _segment_problem(segment: str) -> str:
    return next((problem for problem, applies in _SEGMENT_PROBLEMS.items() if applies(segment)), "")


def _is_special(segment: str) -> bool:
    folded = segment.casefold()
    return folded == ".git" or folded.partition(".")[0] in _RESERVED


# The first that applies is told, so the later ones may rely on the earlier.
_SEGMENT_PROBLEMS: dict[str, Callable[[str], bool]] = {
    "it does not stay in its folder": lambda segment: segment in {"", ".", ".."},
    "a part of it is longer than 255 bytes": lambda segment: len(segment.encode()) > MAX_SEGMENT_BYTES,
    # Controls and formats (newlines, text direction), surrogates, and what Unicode has not assigned.
    "it has invisible characters": lambda segment: any(unicodedata.category(c)[0] == "C" for c in segment),
    "it has characters that some disks do not take": lambda segment: bool(_FORBIDDEN & set(segment)),
    "a part of it begins or ends with what some disks drop": lambda segment: (
        segment[0] == " " or segment[-1] in " ."
    ),
    "a part of it means something else to a system": _is_special,
}


def _refused(path: str, problem: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"the source has a file named {path[:120]!r}: {problem}",
        reason=ErrorReason.SOURCE_INVALID,
        metadata={"file": ascii(path[:120])},
    )
