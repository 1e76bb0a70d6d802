"""Meshes by name, in the user's configuration: which there are, and which is the current one.

$XDG_CONFIG_HOME/moorage/contexts.json      {"current": "prod", "contexts": {"prod": {"registry": "10.0.0.1:7600", …}}}
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from moorage_common.core.errors import InvalidArgument, NotFound
from moorage_common.core.names import check_id

SERVICES = ("registry", "scheduler", "downloader")
"""The services that clients call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Where one mesh is."""

    addresses: Mapping[str, str] = field(default_factory=dict)
    """ "host:port" by service."""
    insecure: bool = False
    """Whether plaintext beyond this machine is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contexts:
    """All meshes that the user has named."""

    by_name: Mapping[str, Context] = field(default_factory=dict)
    current: str = ""
    """The one that is used when nothing else is said. Empty: none."""

    def get(self, name: str) -> Context:
        """Returns a context. Raises `NotFound`."""
        if name not in self.by_name:
            raise NotFound(
                f"there is no context {name!r}", remedy="'moor context list' shows which there are."
            )
        return self.by_name[name]

    def using(self, name: str) -> Self:
        """Makes a context the current one. Raises `NotFound`."""
        self.get(name)
        return replace(self, current=name)

    def having(self, name: str, context: Context) -> Self:
        """Adds a context, or replaces it. The first one becomes the current one.

        Raises:
            InvalidArgument: The name is no id, or there is no registry in it.
        """
        check_id(name, field="NAME")
        if not context.addresses.get("registry"):
            raise InvalidArgument(
                f"context {name!r} has no registry", remedy=f"Say where it is: {_setting(name, 'registry')}"
            )
        current = self.current if self.by_name else name
        return replace(self, by_name={**self.by_name, name: context}, current=current)

    def without(self, name: str) -> Self:
        """Removes a context. Raises `NotFound`."""
        self.get(name)
        left = {each: context for each, context in self.by_name.items() if each != name}
        return replace(self, by_name=left, current="" if self.current == name else self.current)


def lacking(name: str, service: str) -> str:
    """Returns what to do about a context that does not say where a service is."""
    return f"Add it: {_setting(name, service)}"


def _setting(name: str, service: str) -> str:
    return f"moor context set {name} --{service} HOST:PORT"


def contexts_path(environment: Mapping[str, str]) -> Path:
    """Returns the file that contexts are in."""
    # As the XDG base directory specification has it: a relative path counts as none.
    told = Path(environment.get("XDG_CONFIG_HOME", ""))
    base = told if told.is_absolute() else Path.home() / ".config"
    return base / "moorage" / "contexts.json"


def read_contexts(path: Path) -> Contexts:
    """Returns the contexts in a file; none if there is no such file.

    Raises:
        InvalidArgument: It is not readable.
    """
    try:
        stored: dict[str, Any] = json.loads(path.read_text())
        by_name = {
            name: Context(
                addresses={service: str(each[service]) for service in SERVICES if service in each},
                insecure=bool(each.get("insecure", False)),
            )
            for name, each in stored["contexts"].items()
        }
        return Contexts(by_name=by_name, current=str(stored.get("current", "")))
    except (FileNotFoundError, NotADirectoryError):
        return Contexts()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidArgument(
            f"{path} is not readable: {type(error).__name__}: {error}",
            remedy="Mend it, or remove it and set the contexts again.",
        ) from error


def write_contexts(path: Path, contexts: Contexts) -> None:
    """Writes a file that only its owner can read, whole or not at all."""
    stored = {
        "current": contexts.current,
        "contexts": {
            name: {**context.addresses, **({"insecure": True} if context.insecure else {})}
            for name, context in sorted(contexts.by_name.items())
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(json.dumps(stored, indent=2) + "\n")
        staging.replace(path)
    except OSError:
        staging.unlink(missing_ok=True)
        raise
