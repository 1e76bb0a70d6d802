"""Bounds for the hub's client library, which has none: how much an answer may hold, and how long it may take."""

import logging
import time
from collections.abc import Iterator

import httpx2
from huggingface_hub import set_client_factory

MAX_ANSWER_BYTES = 32 << 20
"""A repository of 10,000 files is described in about 3 MiB."""
MAX_ANSWER_S = 30.0


def bound_hub_library(*, https_proxy: str = "") -> None:
    """Makes the library's only HTTP client, one per process, keep to the bounds.

    Args:
        https_proxy: URL of a proxy for https; empty: none.
    """

    def new_client() -> httpx2.Client:
        plain = _BoundedTransport(httpx2.HTTPTransport(trust_env=False))
        proxied = _BoundedTransport(httpx2.HTTPTransport(trust_env=False, proxy=https_proxy or None))
        # Redirects are for repositories that were renamed; httpx shows the token only to the origin it is for.
        return httpx2.Client(
            transport=plain,
            mounts={"https://": proxied},
            trust_env=False,
            follow_redirects=True,
            max_redirects=5,
        )

    set_client_factory(new_client)
    # It tells of every request; what matters of them is told by who makes them.
    logging.getLogger("httpx2").setLevel(logging.WARNING)


class _BoundedTransport(httpx2.BaseTransport):
    def __init__(self, inner: httpx2.BaseTransport) -> None:
        self._inner = inner

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = self._inner.handle_request(request)
        if isinstance(response.stream, httpx2.SyncByteStream):
            response.stream = _BoundedStream(response.stream, request)
        return response

    def close(self) -> None:
        self._inner.close()


class _BoundedStream(httpx2.SyncByteStream):
    def __init__(self, inner: httpx2.SyncByteStream, request: httpx2.Request) -> None:
        self._inner = inner
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        received, deadline = 0, time.monotonic() + MAX_ANSWER_S
        for chunk in self._inner:
            received += len(chunk)
            if received > MAX_ANSWER_BYTES:
                raise httpx2.ReadError("the hub's answer is too long", request=self._request)
            if time.monotonic() > deadline:
                raise httpx2.ReadTimeout("the hub's answer takes too long", request=self._request)
            yield chunk

    def close(self) -> None:
        self._inner.close()
