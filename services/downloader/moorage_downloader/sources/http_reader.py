"""Files over HTTP: ranges that continue only the same content, redirects looked at, tokens kept at home.

A server is not trusted: what it sends is held against what was asked for and against the size that is expected,
and no more is read than that. Digests are not checked here but by the store, as bytes arrive.
"""

import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

import aiohttp
from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar

from moorage_downloader.core.http_rules import (
    MAX_REDIRECTS,
    REDIRECTS,
    Origin,
    parse_content_range,
    redirect_target,
    status_error,
)
from moorage_downloader.sources.contract import (
    OpenedFile,
    source_changed,
    source_unavailable,
    source_unusable,
)

_CHUNK_BYTES = 256 << 10
# Nothing that aiohttp raises for a network that fails is worth telling apart here.
_NETWORK_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One file on a server."""

    url: str
    source: str
    """What the source is called in errors."""
    size: int
    """How large it must be."""
    token: str = field(default="", repr=False)
    """Shown to the URL's own origin and to no other. Empty: none."""
    promised: Mapping[str, str] = field(default_factory=dict)
    """Headers that must have these values wherever they appear on the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What a server says of a file without sending it."""

    size: int
    validator: str
    """A strong ETag or a time of change. Empty: the server gives neither."""


class HttpReader:
    """Reads files over HTTP. An async context manager.

    Args:
        https_proxy: URL of a proxy for anything but this machine itself; empty: none.
        connect_timeout_s: Seconds for a connection to be made.
        idle_timeout_s: Seconds without a byte after which a transfer counts as broken off.
    """

    def __init__(
        self, *, https_proxy: str = "", connect_timeout_s: float = 10.0, idle_timeout_s: float = 30.0
    ) -> None:
        self._proxy = https_proxy
        self._timeout = ClientTimeout(
            total=None, sock_connect=connect_timeout_s, sock_read=idle_timeout_s, ceil_threshold=60
        )
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = ClientSession(
            timeout=self._timeout,
            cookie_jar=DummyCookieJar(),
            # Bytes are taken as they are: a body that unpacks to more than it says is never unpacked.
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "moorage-downloader"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def open(
        self, file: RemoteFile, *, offset: int = 0, length: int | None = None, validator: str = ""
    ) -> AsyncIterator[OpenedFile]:
        """Opens a file; see `moorage_downloader.sources.contract.Source.open`."""
        end = file.size if length is None else min(file.size, offset + length)
        headers = {}
        if (offset, end) != (0, file.size):
            headers["Range"] = f"bytes={offset}-{end - 1}"
        if offset and validator:
            headers["If-Range"] = validator
        async with self._get(file, headers) as response:
            start = _start_of_body(response, file, offset)
            yield OpenedFile(
                offset=start, validator=_validator(response), chunks=_chunks(response, file, end - start)
            )

    async def probe(self, url: str, *, source: str) -> Probe:
        """Asks for the size and the validator of a file by reading its first byte."""
        file = RemoteFile(url=url, source=source, size=0)
        async with self._get(file, {"Range": "bytes=0-0"}) as response:
            span = parse_content_range(response.headers.get("Content-Range", ""))
            size = span.size if response.status == 206 and span else response.content_length
            if response.status == 416 or size is None:
                raise source_unusable(source, "the server does not say how large the file is, or it is empty")
            return Probe(size=size, validator=_validator(response))

    @asynccontextmanager
    async def _get(self, file: RemoteFile, headers: Mapping[str, str]) -> AsyncIterator[ClientResponse]:
        """Follows redirects to an answer that carries a body, or raises what the answer means."""
        url, home = file.url, Origin.of(file.url)
        for _ in range(MAX_REDIRECTS + 1):
            at_home = Origin.of(url) == home
            response = await self._request(file, url, headers, token=file.token if at_home else "")
            try:
                _check_promises(response, file)
                if response.status not in REDIRECTS:
                    _check_status(response, file, at_home=at_home)
                    yield response
                    return
                url = redirect_target(url, response.headers.get("Location", ""), source=file.source)
            finally:
                # Closed, not released: what is left of a body is not worth reading.
                response.close()
        raise source_unusable(file.source, f"more than {MAX_REDIRECTS} redirects")

    async def _request(
        self, file: RemoteFile, url: str, headers: Mapping[str, str], *, token: str
    ) -> ClientResponse:
        if self._session is None:
            raise RuntimeError("an HttpReader must be entered before it is used")
        origin = Origin.of(url)
        credentials = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            return await self._session.get(
                url,
                headers={**headers, **credentials},
                allow_redirects=False,
                proxy=self._proxy if self._proxy and not origin.is_loopback else None,
            )
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise source_unusable(file.source, f"{origin.host} cannot prove who it is") from error
        except _NETWORK_ERRORS as error:
            raise source_unavailable(file.source, f"cannot reach {origin.host}: {_said(error)}") from error


def _check_promises(response: ClientResponse, file: RemoteFile) -> None:
    for name, value in file.promised.items():
        found = response.headers.get(name, value).removeprefix("W/").strip('"')
        if found.casefold() != value.casefold():
            raise source_changed(file.source, f"{name} is {found[:80]!r}, was {value!r}")


def _check_status(response: ClientResponse, file: RemoteFile, *, at_home: bool) -> None:
    if response.status in {200, 206}:
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise source_unusable(file.source, f"the server insists on sending it as {encoding[:40]!r}")
        return
    if response.status == 416 and file.size:
        raise source_changed(file.source, f"it is shorter than {file.size:,} bytes")
    host = response.url.host or ""
    if response.status == 403 and not at_home:
        # A signed link that ran out: the next try gets a fresh one.
        raise source_unavailable(file.source, f"{host} no longer honours the link that it was given")
    if response.status != 416:
        raise status_error(response.status, source=file.source, host=host, headers=response.headers)


def _start_of_body(response: ClientResponse, file: RemoteFile, offset: int) -> int:
    """Returns where the body begins, having held the answer's sizes against the file's."""
    if response.status == 200:
        if response.content_length not in {None, file.size}:
            raise source_changed(file.source, f"it has {response.content_length:,} bytes, not {file.size:,}")
        return 0
    span = parse_content_range(response.headers.get("Content-Range", ""))
    if span is None or span.start != offset:
        raise source_unavailable(file.source, f"asked for bytes from {offset:,}, the server sent others")
    if span.size not in {None, file.size}:
        raise source_changed(file.source, f"it has {span.size:,} bytes, not {file.size:,}")
    return offset


async def _chunks(response: ClientResponse, file: RemoteFile, length: int) -> AsyncIterator[bytes]:
    left = length
    try:
        while left > 0:
            chunk = await response.content.read(min(left, _CHUNK_BYTES))
            if not chunk:
                break
            left -= len(chunk)
            yield chunk
    except _NETWORK_ERRORS as error:
        raise source_unavailable(file.source, f"broke off {left:,} bytes early: {_said(error)}") from error
    if left:
        raise source_unavailable(file.source, f"ended {left:,} bytes early")


def _validator(response: ClientResponse) -> str:
    etag = response.headers.get("ETag", "")
    # A weak one does not promise the same bytes.
    if etag and not etag.startswith("W/"):
        return etag[:200]
    return response.headers.get("Last-Modified", "")[:200]


def _said(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    if isinstance(error, OSError) and error.errno:
        # The event loop's own wording repeats addresses; a name that is not found has a number of its own kind.
        return str(error.strerror) if isinstance(error, socket.gaierror) else os.strerror(error.errno)
    return str(error)[:200] or type(error).__name__
