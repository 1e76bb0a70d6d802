"""Files that are whole or not there, whenever the process is killed."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from moorage_common.core.errors import ErrorReason, ResourceExhausted
from moorage_common.core.ids import new_short_id

_FULL = {28, 122}  # ENOSPC and EDQUOT


@contextlib.contextmanager
def disk_full_is_clear() -> Iterator[None]:
    """Turns the operating system's "no space left" into an error that callers understand.

    Raises:
        ResourceExhausted: With reason DISK_FULL.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise ResourceExhausted(
            "the worker's disk is full",
            reason=ErrorReason.DISK_FULL,
            remedy="Free space on the file system that holds the agent's data directory.",
        ) from error


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replaces a file by a JSON object, in one step and durably."""
    temporary = path.with_name(f"{path.name}.{new_short_id()}.tmp")
    with disk_full_is_clear():
        try:
            with temporary.open("w", encoding="utf-8") as file:
                json.dump(value, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def read_json(path: Path) -> dict[str, Any] | None:
    """Returns the JSON object in a file; None if there is none, or it is not one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def sync_directory(path: Path) -> None:
    """Makes the names in a directory durable: a rename is only kept once its directory is."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_size(path: Path) -> int | None:
    """Returns the size of a file in bytes; None if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
