"""What a source is called, and what its name means.

    hf:<org>/<repo>[@<revision>][/<path or glob>]   a repository on the hub; slashes in a revision are %2F
    https://<host>/<path>.gguf                       one file, or one shard of a model, on the web
    file:/<path>.gguf                                the same on the downloader's own disk
    file:/<folder>                                   a folder there, with the files of one model

A model in safetensors is a repository, or a folder, with a config.json; its pinned reference names that file.

The canonical text of a reference is what parsing it gives back: it is safe to store, compare and show.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from moorage_common.core.errors import ErrorReason, FieldViolation, InvalidArgument

_HUB_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_HUB = re.compile(rf"(?P<repo>{_HUB_NAME}/{_HUB_NAME})(?:@(?P<revision>[^/@]{{1,200}}))?(?:/(?P<path>.*))?")
_FORMS = "hf:<org>/<repo>[@<revision>][/<path or glob>], https://… or file:/<path>"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubRef:
    """Files of a repository on the hub."""

    repo: str
    """``<org>/<repo>``"""
    revision: str = ""
    """A branch, tag or commit. Empty: the repository's default branch."""
    path: str = ""
    """The file, its folder, or a glob that matches it. Empty: the only model that there is."""

    def __str__(self) -> str:
        revision = f"@{quote(self.revision, safe='')}" if self.revision else ""
        path = f"/{self.path}" if self.path else ""
        return f"hf:{self.repo}{revision}{path}"

    def pinned(self, *, commit: str, path: str) -> "HubRef":
        """The same repository at a commit, and one file of it."""
        return replace(self, revision=commit, path=path)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebRef:
    """A file on the web."""

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def file_name(self) -> str:
        """The last segment of the URL's path, decoded."""
        return unquote(urlsplit(self.url).path.rpartition("/")[2])

    def sibling(self, file_name: str) -> str:
        """The URL of another file beside this one."""
        parts = urlsplit(self.url)
        folder = parts.path.rpartition("/")[0]
        return urlunsplit(parts._replace(path=f"{folder}/{quote(file_name)}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRef:
    """A file or a folder on the downloader's own disk."""

    path: str
    """Absolute, with no slash at its end."""

    def __str__(self) -> str:
        return f"file:{self.path}"


SourceRef = HubRef | WebRef | LocalRef


def parse_source(text: str) -> SourceRef:
    """Reads the name of a source.

    Raises:
        InvalidArgument: SOURCE_INVALID: it is not written in a form that is understood.
    """
    scheme, separator, rest = text.partition(":")
    parse = _PARSERS.get(scheme)
    if not separator or parse is None or not text.isprintable():
        raise invalid_source(text, f"a source is {_FORMS}")
    return parse(text, rest)


def invalid_source(source: str, problem: str) -> InvalidArgument:
    """The error for a source that does not name one model."""
    return InvalidArgument(
        f"source {source[:200]!r}: {problem}",
        reason=ErrorReason.SOURCE_INVALID,
        metadata={"source": source[:200]},
        violations=[FieldViolation(field="source", description=problem)],
    )


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parse_hub(text: str, rest: str) -> HubRef:
    match = _HUB.fullmatch(rest)
    if match is None or ".." in match["repo"] or "--" in match["repo"]:
        raise invalid_source(text, "a hub source is hf:<org>/<repo>[@<revision>][/<path or glob>]")
    revision = unquote(match["revision"] or "")
    if not re.fullmatch(r"[\w./-]*", revision, re.ASCII) or ".." in revision:
        raise invalid_source(text, f"{revision!r} is not a revision")
    return HubRef(repo=match["repo"], revision=revision, path=(match["path"] or "").rstrip("/"))


def _parse_web(text: str, _: str) -> WebRef:
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname or "", parts.port
    except ValueError as error:
        raise invalid_source(text, f"not a URL: {error}") from error
    if not host:
        raise invalid_source(text, "the URL has no host")
    if parts.scheme == "http" and not is_loopback(host):
        raise invalid_source(text, "plain http is only for this machine itself; use https")
    if parts.username is not None or parts.password is not None:
        raise invalid_source(text, "a source is stored and shown: it must not hold a password")
    if parts.fragment or not parts.path.rpartition("/")[2]:
        raise invalid_source(text, "the URL must end with the name of a file")
    return WebRef(url=urlunsplit(parts))


def _parse_local(text: str, rest: str) -> LocalRef:
    path = rest
    if rest.startswith("//"):
        host, _, after = rest[2:].partition("/")
        if host not in {"", "localhost"}:
            raise invalid_source(text, f"{host!r} is another machine; file: is the downloader's own disk")
        path = f"/{after}"
    path = path.rstrip("/")
    if not path.startswith("/"):
        raise invalid_source(text, "a file source is file:/<absolute path of a file or a folder>")
    if ".." in path.split("/"):
        raise invalid_source(text, "the path must not contain '..'")
    return LocalRef(path=path)


_PARSERS: dict[str, Callable[[str, str], SourceRef]] = {
    "hf": _parse_hub,
    "https": _parse_web,
    "http": _parse_web,
    "file": _parse_local,
}
