"""Where the mesh is, and who says so.

What the command line says goes before what the environment says, that before the current context, that before the
mesh of the default data directory. On each of the first two levels an address goes before a context, and that
before a data directory. A context, or a data directory, is a whole mesh: what it lacks is not taken from another.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import typer

from moorage_cli.contexts import Context, Contexts, contexts_path, lacking, read_contexts
from moorage_cli.launcher.home import DEFAULT_HOME, MeshHome
from moorage_common.core.errors import NotFound, Unavailable

_WORDS = {
    "registry": ("--registry", "MOORAGE_REGISTRY"),
    "scheduler": ("--scheduler", "MOORAGE_SCHEDULER"),
    "downloader": ("--downloader", "MOORAGE_DOWNLOADER"),
    "context": ("--context", "MOORAGE_CONTEXT"),
    "data_dir": ("--data-dir", "MOORAGE_HOME"),
}
"""How each option is said on the command line, and in the environment."""
VARIABLES = tuple(variable for _, variable in _WORDS.values())
"""What of the environment goes before the current context."""
_CURRENT = "moor context use"
"""How the current context was said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one level says."""

    addresses: Mapping[str, str] = field(default_factory=dict)
    """ "host:port" by service."""
    context: str = ""
    data_dir: Path | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    """How each of them was said, e.g. "--registry" or "MOORAGE_REGISTRY"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """Where a service is."""

    address: str
    """ "host:port"."""
    origin: str
    """Who says so, e.g. "--registry" or "context prod, by --context"."""
    insecure: bool = False
    """Whether who says so allows plaintext beyond this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshTarget:
    """Where the mesh is, as far as anybody says."""

    levels: tuple[Said, ...]
    """The command line, then the environment."""
    allow_insecure: bool = False
    """Whether plaintext beyond this machine was allowed for this command."""
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    @classmethod
    def at(cls, addresses: Mapping[str, str]) -> Self:
        """Returns a mesh whose addresses are known."""
        return cls(levels=(Said(addresses=addresses, words=dict.fromkeys(addresses, "the mesh")),))

    def locate(self, service: str) -> Located:
        """Returns where the registry, scheduler or downloader is.

        Raises:
            Unavailable: Nothing says where it is.
            NotFound: There is no such context.
        """
        for said in self.levels:
            if said.addresses.get(service):
                return Located(address=said.addresses[service], origin=said.words[service])
            if said.context:
                return self._in_context(said.context, service, said.words["context"])
            if said.data_dir is not None:
                return _in_home(said.data_dir, service)
        current = self._contexts().current
        return self._in_context(current, service, _CURRENT) if current else _in_home(DEFAULT_HOME, service)

    def _in_context(self, name: str, service: str, word: str) -> Located:
        context = self._named(name, word)
        if service not in context.addresses:
            raise Unavailable(
                f"context {name!r} does not say where the {service} is", remedy=lacking(name, service)
            )
        return Located(
            address=context.addresses[service],
            origin=f"context {name}, by {word}",
            insecure=context.insecure,
        )

    def _named(self, name: str, word: str) -> Context:
        try:
            return self._contexts().get(name)
        except NotFound as error:
            raise NotFound(f"{error.message}, which {word} names", remedy=error.remedy) from None

    def _contexts(self) -> Contexts:
        return read_contexts(contexts_path(self.environment))


def _in_home(data_dir: Path, service: str) -> Located:
    address = MeshHome(data_dir).addresses().get(service, "")
    if not address:
        raise Unavailable(
            f"no mesh is known here: {data_dir} has none, and no {service} was named",
            remedy=f"Start one with 'moor up', or name the {service} with --{service} or "
            f"MOORAGE_{service.upper()}, or a mesh with 'moor context'.",
        )
    return Located(address=address, origin=str(data_dir / "mesh.json"))


def target_of(ctx: typer.Context, values: Mapping[str, Any]) -> MeshTarget:
    """Returns where the common options, by name, say that the mesh is."""
    return MeshTarget(
        levels=(_level(ctx, values, "COMMANDLINE"), _level(ctx, values, "ENVIRONMENT")),
        allow_insecure=bool(values.get("insecure")),
    )


def _level(ctx: typer.Context, values: Mapping[str, Any], source: str) -> Said:
    said = {name: values[name] for name in _WORDS if _source(ctx, name) == source and values.get(name)}
    return Said(
        addresses={name: value for name, value in said.items() if name not in ("context", "data_dir")},
        context=said.get("context", ""),
        data_dir=said.get("data_dir"),
        words={name: _WORDS[name][source == "ENVIRONMENT"] for name in said},
    )


def _source(ctx: typer.Context, name: str) -> str:
    source = ctx.get_parameter_source(name)
    return source.name if source is not None else ""
