"""Completes names in a shell, by what the mesh has. A mesh that does not answer soon completes nothing, silently."""

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import typer

from moorage_cli.contexts import contexts_path, read_contexts
from moorage_cli.target import target_of
from moorage_common.core.errors import MoorageError

if TYPE_CHECKING:
    from moorage_common.rpc.clients import RegistryClient

_WITHIN_S = 1.0
"""Whoever presses Tab waits no longer."""


def models(ctx: typer.Context, incomplete: str) -> list[str]:
    """Completes the id of a model."""
    return _beginning(_ask(ctx, _model_ids), incomplete)


def instances(ctx: typer.Context, incomplete: str) -> list[str]:
    """Completes the id of a model, and from there on that of one of its instances."""
    model, slash, _ = incomplete.partition("/")
    if not slash:
        return models(ctx, incomplete)
    return _beginning(_ask(ctx, lambda registry: _instance_ids(registry, model)), incomplete)


def workers(ctx: typer.Context, incomplete: str) -> list[str]:
    """Completes the id of a worker."""
    return _beginning(_ask(ctx, _worker_ids), incomplete)


def resources(ctx: typer.Context, incomplete: str) -> list[str]:
    """Completes the id of a model, or the full name of a worker."""
    if incomplete.startswith("workers/"):
        return _beginning([f"workers/{each}" for each in _ask(ctx, _worker_ids)], incomplete)
    return [*models(ctx, incomplete), *_beginning(["workers/"], incomplete)]


def contexts(incomplete: str) -> list[str]:
    """Completes the name of a context."""
    try:
        return _beginning(list(read_contexts(contexts_path(os.environ)).by_name), incomplete)
    except (MoorageError, OSError):
        return []


def _beginning(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _ask(ctx: typer.Context, question: Callable[["RegistryClient"], Awaitable[list[str]]]) -> list[str]:
    # gRPC's core would log to the terminal that a refused connection is one.
    os.environ["GRPC_VERBOSITY"] = "NONE"
    # A shell that completes the name of a command waits for none of these.
    import asyncio  # noqa: PLC0415

    from moorage_cli import connect  # noqa: PLC0415

    async def ask() -> list[str]:
        async with asyncio.timeout(_WITHIN_S), connect.registry(target_of(ctx, ctx.params)) as registry:
            return await question(registry)

    try:
        return asyncio.run(ask())
    except (MoorageError, OSError, TimeoutError):
        return []


async def _model_ids(registry: "RegistryClient") -> list[str]:
    from moorage_cli.listing import all_models  # noqa: PLC0415

    return [_id(model.name) for model in await all_models(registry)]


async def _instance_ids(registry: "RegistryClient", model: str) -> list[str]:
    from moorage_cli.listing import all_instances  # noqa: PLC0415

    return [f"{model}/{_id(each.name)}" for each in await all_instances(registry, f"models/{model}")]


async def _worker_ids(registry: "RegistryClient") -> list[str]:
    from moorage_cli.listing import all_workers  # noqa: PLC0415

    return [_id(worker.name) for worker in await all_workers(registry)]


def _id(name: str) -> str:
    return name.rpartition("/")[2]
