"""`moor context`: meshes by name."""

import os
from dataclasses import replace

from moorage_cli.console import make_console, print_milestone, show
from moorage_cli.contexts import (
    SERVICES,
    Context,
    Contexts,
    contexts_path,
    read_contexts,
    write_contexts,
)
from moorage_cli.results import Output, Result
from moorage_cli.target import VARIABLES, Located, MeshTarget
from moorage_cli.views.context_tables import context_rows, located_rows
from moorage_cli.views.milestones import Mark
from moorage_common.core.address import Address
from moorage_common.core.errors import Unavailable


async def list_(*, output: Output) -> int:
    """Lists the contexts."""
    contexts = _read()
    result = Result(
        data={
            "current": contexts.current,
            "contexts": {name: _as_data(each) for name, each in contexts.by_name.items()},
        },
        names=list(contexts.by_name),
        page=[context_rows(contexts)] if contexts.by_name else [],
        nothing="No contexts yet. Name a mesh: moor context set NAME --registry HOST:PORT",
    )
    show(output, result)
    return 0


async def show_(target: MeshTarget, *, output: Output) -> int:
    """Shows which addresses a command would call, and who says so."""
    located: dict[str, Located] = {}
    problems: dict[str, str] = {}
    for service in SERVICES:
        try:
            located[service] = target.locate(service)
        except Unavailable as error:
            problems[service] = error.message
    result = Result(
        data={service: {"address": each.address, "from": each.origin} for service, each in located.items()},
        names=[each.address for each in located.values()],
        page=[located_rows(located, problems)],
    )
    show(output, result)
    return 0


async def use(*, name: str) -> int:
    """Makes a context the current one."""
    _write(_read().using(name))
    console = make_console(stderr=True)
    print_milestone(console, Mark.DONE, "using", f"context {name}")
    for variable in VARIABLES:
        if os.environ.get(variable):
            print_milestone(console, Mark.TROUBLE, "note", f"{variable} is set, and goes before the context")
    return 0


async def set_(*, name: str, addresses: dict[str, str], insecure: bool | None) -> int:
    """Makes a context, or changes what is said of one."""
    contexts = _read()
    given = {
        service: str(Address.parse(address, field=f"--{service}"))
        for service, address in addresses.items()
        if address
    }
    known = contexts.by_name.get(name, Context())
    changed = replace(
        known,
        addresses={**known.addresses, **given},
        insecure=known.insecure if insecure is None else insecure,
    )
    stored = contexts.having(name, changed)
    _write(stored)
    current = ", the current one" if stored.current == name else f"; use it: moor context use {name}"
    print_milestone(make_console(stderr=True), Mark.DONE, "set", f"context {name}{current}")
    return 0


async def delete(*, name: str) -> int:
    """Removes a context. The mesh itself is left alone."""
    before = _read()
    _write(before.without(name))
    was_current = "; no context is the current one now" if before.current == name else ""
    print_milestone(make_console(stderr=True), Mark.DONE, "deleted", f"context {name}{was_current}")
    return 0


def _as_data(context: Context) -> dict[str, object]:
    return {**context.addresses, "insecure": context.insecure}


def _read() -> Contexts:
    return read_contexts(contexts_path(os.environ))


def _write(contexts: Contexts) -> None:
    write_contexts(contexts_path(os.environ), contexts)
