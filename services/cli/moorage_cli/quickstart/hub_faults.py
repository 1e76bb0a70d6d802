"""What a test can make the hub do wrong, and what the hub has seen."""

from dataclasses import dataclass, field

from moorage_cli.quickstart.hub_repos import RepoFile


@dataclass(slots=True, kw_only=True)
class Faults:
    """Knobs that may be turned while the hub runs. Each counter goes down by one when its fault strikes."""

    rate_bytes_per_s: float = 0.0
    """How fast each body is sent. 0: as fast as possible."""
    failures: int = 0
    """How many requests get `failure_status`."""
    failure_status: int = 503
    failure_headers: dict[str, str] = field(default_factory=dict)
    cuts: int = 0
    """How many bodies longer than `cut_after_bytes` break off there."""
    cut_after_bytes: int = 0
    stalls: int = 0
    """How many bodies longer than `stall_after_bytes` stop there, with the connection open."""
    stall_after_bytes: int = 0
    flips: int = 0
    """How many bodies that hold the byte at `flip_offset` have it inverted."""
    flip_offset: int = 0
    wrong_ranges: int = 0
    """How many range requests are answered with a range that begins one byte late."""
    ignored_ranges: int = 0
    """How many range requests are answered with the whole file."""
    withheld_bytes: int = 0
    """By how much every body ends too early, while all headers agree that this is the whole file."""
    etag_salt: str = ""
    """Changes the ETag of every body, as if the file behind it had been replaced."""

    def strike(self, counter: str) -> bool:
        """Whether a fault strikes now; counts it if so."""
        left: int = getattr(self, counter)
        if left > 0:
            setattr(self, counter, left - 1)
        return left > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRequest:
    """One request as the hub saw it."""

    method: str
    path: str
    host: str
    range: str
    authorization: str


@dataclass(slots=True)
class Seen:
    """What the hub has been asked for, and what it has sent."""

    requests: list[SeenRequest] = field(default_factory=list)
    body_bytes: int = 0
    """Bytes of file content sent, over all files."""
    bytes_by_file: dict[str, int] = field(default_factory=dict)

    def count(self, file: RepoFile, sent: int) -> None:
        """Notes that bytes of a file were sent."""
        self.body_bytes += sent
        self.bytes_by_file[file.path] = self.bytes_by_file.get(file.path, 0) + sent
