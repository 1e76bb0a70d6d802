"""How far one artifact's pull is, over all of its files."""

from collections.abc import Callable

from moorage_common.core.errors import MoorageError
from moorage_downloader.core.progress import Progress, RateMeter


class PullMeter:
    """Adds up what the files of one pull report.

    Args:
        size_bytes: Of all files.
        monotonic: Seconds that never go back.
    """

    def __init__(self, size_bytes: int, monotonic: Callable[[], float]) -> None:
        self._size_bytes = size_bytes
        self._monotonic = monotonic
        self._rate = RateMeter()
        self._done: dict[str, int] = {}
        self.error: MoorageError | None = None
        """Why the last try of a file failed, until bytes come again."""

    def at(self, path: str, done_bytes: int) -> None:
        """Notes how much of a file is there, without anything having come just now."""
        self._done[path] = done_bytes

    def received(self, path: str, count: int) -> None:
        """Notes that bytes of a file have come."""
        self._done[path] = self._done.get(path, 0) + count
        self._rate.add(self._monotonic(), count)
        self.error = None

    def progress(self) -> Progress:
        """How far it is now."""
        return Progress(
            done_bytes=sum(self._done.values()),
            size_bytes=self._size_bytes,
            bytes_per_second=self._rate.rate(self._monotonic()),
        )
