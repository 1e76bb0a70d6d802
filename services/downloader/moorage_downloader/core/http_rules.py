"""What answers over HTTP mean, and where a redirect may lead."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from moorage_common.core.errors import (
    ErrorReason,
    FailedPrecondition,
    MoorageError,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from moorage_downloader.core.source_ref import is_loopback

MAX_REDIRECTS = 10
REDIRECTS = frozenset({301, 302, 303, 307, 308})
AWAY_REMEDY = "Try again later, and check that the downloader can reach it."
_MAX_RETRY_AFTER_S = 600.0
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class Origin:
    """Who a request goes to: credentials for one origin are never shown to another."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Origin":
        """The origin of a URL."""
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(parts.scheme, parts.hostname or "", port)

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine itself."""
        return is_loopback(self.host)


def redirect_target(url: str, location: str, *, source: str) -> str:
    """Returns where a redirect leads.

    Raises:
        FailedPrecondition: SOURCE_INVALID: from the network to this machine itself, out of encryption, or to
            something that is not the web.
    """
    target = urljoin(url, location)
    try:
        before, after = Origin.of(url), Origin.of(target)
    except ValueError as error:
        raise _bad_answer(source, f"it redirects to no valid URL: {error}") from error
    if after.scheme not in {"http", "https"} or not after.host:
        raise _bad_answer(source, f"it redirects to {after.scheme!r}, which is not the web")
    if after.is_loopback and not before.is_loopback:
        raise _bad_answer(source, "it redirects to this machine itself")
    if before.scheme == "https" and after.scheme == "http" and not after.is_loopback:
        raise _bad_answer(source, f"it redirects to unencrypted {after.host}")
    return target


def status_error(status: int, *, source: str, host: str, headers: Mapping[str, str]) -> MoorageError:
    """The error that an HTTP status means for a source."""
    said = f"source {source[:200]!r}: {host} answered {status}"
    metadata = {"source": source[:200], "http_status": str(status)}
    if status in {401, 403}:
        return PermissionDenied(
            said,
            reason=ErrorReason.SOURCE_DENIED,
            metadata=metadata,
            remedy="Configure the downloader with a token that may read it.",
        )
    if status in {404, 410}:
        return NotFound(f"{said}: not found", reason=ErrorReason.SOURCE_NOT_FOUND, metadata=metadata)
    if status in {408, 425, 429} or status >= 500:
        return Unavailable(
            said,
            reason=ErrorReason.SOURCE_UNAVAILABLE,
            metadata=metadata,
            remedy=AWAY_REMEDY,
            retry_after_s=_retry_after_s(headers),
        )
    return FailedPrecondition(said, reason=ErrorReason.SOURCE_INVALID, metadata=metadata)


@dataclass(frozen=True, slots=True)
class ContentRange:
    """The range that a body is of."""

    start: int
    size: int | None
    """Of the whole file. None: the server does not say."""


def parse_content_range(value: str) -> ContentRange | None:
    """Reads a Content-Range header; None when it cannot be."""
    match = _CONTENT_RANGE.fullmatch(value.strip())
    if match is None or int(match[1]) > int(match[2]):
        return None
    return ContentRange(start=int(match[1]), size=None if match[3] == "*" else int(match[3]))


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    value = headers.get("Retry-After", "")
    # The other form, a date, needs a clock that agrees with the server's: the usual back-off will do.
    return min(float(value), _MAX_RETRY_AFTER_S) if value.isascii() and value.isdigit() else None


def _bad_answer(source: str, problem: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"source {source[:200]!r}: {problem}",
        reason=ErrorReason.SOURCE_INVALID,
        metadata={"source": source[:200]},
    )
