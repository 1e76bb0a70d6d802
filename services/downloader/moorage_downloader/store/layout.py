"""Where things are under the cache's folder, and the few moves that make them durable.

blobs/<2 digits>/<sha256>     complete
arriving/<key>                on the way; <key>.json beside it: the source's validator
names/<key>.json              which SHA-256 content turned out to have whose key is another digest or none
artifacts/<id>.json           the manifest of each artifact that was ever begun
quarantine/<key>.<time>       the last few whose digest was wrong
holder, lock                  who this cache belongs to
"""

import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_QUARANTINED = 2
"""How many files are kept for somebody to look at: they may be large."""
_KEY = re.compile(r"[a-z0-9]+-[0-9a-f]{40,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Layout:
    """Paths under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self) -> None:
        """Makes the folders."""
        for name in ("blobs", "arriving", "names", "artifacts", "quarantine"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def blob(self, sha256: str) -> Path:
        """A complete blob."""
        if not _SHA256.fullmatch(sha256):
            raise ValueError(f"not a SHA-256: {sha256!r}")
        return self.root / "blobs" / sha256[:2] / sha256

    def arriving(self, key: str) -> Path:
        """An arrival's bytes."""
        return self.root / "arriving" / _checked(key)

    def validator(self, key: str) -> Path:
        """What the source gave an arrival to continue with."""
        return self.root / "arriving" / f"{_checked(key)}.json"

    def name(self, key: str) -> Path:
        """What content with this key turned out to be."""
        return self.root / "names" / f"{_checked(key)}.json"

    def artifact(self, artifact_id: str) -> Path:
        """An artifact's manifest."""
        if not re.fullmatch(r"[a-z0-9.-]{1,63}", artifact_id) or artifact_id.startswith("."):
            raise ValueError(f"not an artifact's id: {artifact_id!r}")
        return self.root / "artifacts" / f"{artifact_id}.json"

    def quarantine(self, key: str) -> None:
        """Sets an arrival's bytes aside, and drops those that were set aside longest ago."""
        folder = self.root / "quarantine"
        self.arriving(key).replace(folder / f"{key}.{time.time_ns()}")
        kept = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        for path in kept[:-_QUARANTINED]:
            path.unlink()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a small file so that it is there whole or not at all."""
    beside = path.with_name(f"{path.name}.new")
    with beside.open("w") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    move(beside, path)


def read_json(path: Path) -> dict[str, Any] | None:
    """Reads a small file; None when it is not there or not whole."""
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def move(source: Path, target: Path) -> None:
    """Gives a flushed file its final name, and flushes the name."""
    target.parent.mkdir(exist_ok=True)
    source.replace(target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a key: {key!r}")
    return key
