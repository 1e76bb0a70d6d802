"""The downloader's cache: one folder, one process."""

import asyncio
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from moorage_common.core.errors import (
    ErrorReason,
    FailedPrecondition,
    ResourceExhausted,
    Shortage,
    Unavailable,
)
from moorage_common.core.ids import new_uid
from moorage_downloader.store.arrival import Arrival
from moorage_downloader.store.contract import Wanted
from moorage_downloader.store.layout import Layout, read_json
from moorage_downloader.store.reading import StoredBlob

_SPARE_BYTES = 64 << 20
"""Room that is never counted on: names, manifests, other programs' logs."""


class DiskStore:
    """Blobs under one folder; see `moorage_downloader.store.contract`. A context manager: it locks the folder."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self._arrivals: dict[str, tuple[Arrival, int]] = {}
        self._lock = -1
        self.holder = ""
        """Names whoever works with this folder, today and after a restart."""

    def __enter__(self) -> Self:
        try:
            self.layout.create()
            self._lock = os.open(self.layout.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise FailedPrecondition(
                f"cannot use the cache folder {self.layout.root}: {error.strerror}",
                reason=ErrorReason.SERVICE_UNAVAILABLE,
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise FailedPrecondition(
                f"another downloader is using the cache folder {self.layout.root}",
                reason=ErrorReason.SERVICE_UNAVAILABLE,
                remedy="Give each downloader a cache folder of its own.",
            ) from error
        self.holder = self._read_holder()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    async def find(self, wanted: Wanted) -> StoredBlob | None:
        """Returns the complete blob that is what is wanted; None when there is none."""
        return await asyncio.to_thread(self._find, wanted)

    @contextmanager
    def arriving(self, wanted: Wanted) -> Iterator[Arrival]:
        """Holds the arrival of what is wanted. When nobody holds it any more, its readers are told."""
        key = wanted.key
        arrival, holders = self._arrivals.get(key) or (Arrival(self.layout, wanted), 0)
        self._arrivals[key] = (arrival, holders + 1)
        try:
            yield arrival
        finally:
            _, holders = self._arrivals[key]
            self._arrivals[key] = (arrival, holders - 1)
            if holders == 1:
                del self._arrivals[key]
                arrival.give_up(
                    Unavailable("the pull broke off; read again", reason=ErrorReason.SOURCE_UNAVAILABLE)
                )

    def check_room(self) -> None:
        """Holds what is still to arrive, all in all, against the room on the disk.

        Raises:
            ResourceExhausted: DISK_FULL, with what is needed and what is there.
        """
        needed = sum(
            arrival.size_bytes - arrival.available_bytes
            for arrival, _ in self._arrivals.values()
            if not arrival.sha256
        )
        free = max(0, shutil.disk_usage(self.layout.root).free - _SPARE_BYTES)
        if needed > free:
            raise ResourceExhausted(
                f"the downloader's disk is too full: {needed:,} bytes needed, {free:,} free",
                reason=ErrorReason.DISK_FULL,
                remedy="Make room in the downloader's cache folder; it goes on by itself.",
                shortages=[
                    Shortage(
                        subject="downloader/cache",
                        description=f"needed {needed} bytes, available {free} bytes",
                    )
                ],
            )

    def _find(self, wanted: Wanted) -> StoredBlob | None:
        sha256 = wanted.sha256
        if not sha256:
            name = read_json(self.layout.name(wanted.key)) or {}
            sha256 = str(name.get("sha256", ""))
        if not sha256:
            return None
        path = self.layout.blob(sha256)
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return None
        return StoredBlob(path, size, sha256) if size == wanted.size_bytes else None

    def _read_holder(self) -> str:
        path = self.layout.root / "holder"
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            path.write_text(holder := f"downloader-{new_uid()}")
            return holder
