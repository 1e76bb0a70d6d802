"""Commands about the mesh as a whole, and about resources of any kind."""

import os
from enum import StrEnum
from typing import Annotated

import typer

from moorage_cli import commands, completing
from moorage_cli.declarations.shared import MESH, WaitOption, examples
from moorage_cli.launcher.home import DEFAULT_HOME
from moorage_cli.launcher.ports import FIRST_PORT
from moorage_cli.options import DataDirOption, DebugOption, OutputOption, connected, execute, listed
from moorage_cli.query import Query
from moorage_cli.results import Output
from moorage_cli.target import MeshTarget

app = typer.Typer()

FirstPortOption = Annotated[
    int,
    typer.Option(
        "--first-port",
        envvar="MOORAGE_FIRST_PORT",
        min=1024,
        max=65000,
        help="Look for free ports from here on.",
    ),
]


class Kind(StrEnum):
    """A kind of resource to watch."""

    WORKER = "worker"
    MODEL = "model"
    INSTANCE = "instance"
    ARTIFACT = "artifact"
    COPY = "copy"
    DOWNLOAD = "download"


@app.command(rich_help_panel=MESH, epilog=examples("moor top", "moor top --once"))
@connected
async def top(
    target: MeshTarget,
    *,
    once: Annotated[bool, typer.Option("--once", help="Print it once, as without a terminal.")] = False,
    output: OutputOption = Output.TABLE,
) -> int:
    """Shows workers, their memory and instances, until Ctrl-C."""
    return await commands.top.run(target, once=once, output=output)


@app.command(
    rich_help_panel=MESH,
    epilog=examples(
        "moor watch llama",
        "moor watch --kind worker --kind instance",
        "moor watch workers/gpu-07 --since 48211 -o json",
    ),
)
@connected
async def watch(
    target: MeshTarget,
    *,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]…",
            help="Only these: a model (and its instances), workers/gpu-07, llama/a1b2c3d4.",
            autocompletion=completing.resources,
            show_default=False,
        ),
    ] = None,
    kinds: Annotated[
        list[Kind] | None, typer.Option("--kind", "-k", help="Only these kinds.", show_default=False)
    ] = None,
    since: Annotated[
        int | None,
        typer.Option("--since", metavar="REVISION", min=1, help="What came after this one, and then on."),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> int:
    """Prints changes as they happen, one a line, until Ctrl-C."""
    return await commands.watch.run(target, names=names or [], kinds=kinds or [], since=since, output=output)


@app.command(
    rich_help_panel=MESH,
    epilog=examples(
        "moor audit llama",
        "moor audit workers/gpu-07 --limit 5",
        """moor audit --filter 'actor = "ada@bridge"'""",
    ),
)
@listed(limit=50)
async def audit(
    target: MeshTarget,
    query: Query,
    *,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Of this resource alone: a model, workers/gpu-07, llama/a1b2c3d4.",
            autocompletion=completing.resources,
            show_default=False,
        ),
    ] = "",
    output: OutputOption = Output.TABLE,
) -> int:
    """Lists who changed what, from what to what; the newest first."""
    return await commands.audit.run(target, name=name, query=query, output=output)


@app.command(rich_help_panel=MESH, epilog=examples("moor delete llama", "moor delete workers/gpu-07 --force"))
@connected
async def delete(
    target: MeshTarget,
    *,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A model by its id or name; a worker by its name: workers/gpu-07.",
            autocompletion=completing.resources,
        ),
    ],
    force: Annotated[
        bool,
        typer.Option("--force", help="Also a worker that instances hold memory on: it is gone for good."),
    ] = False,
    wait: WaitOption = True,
    output: OutputOption = Output.TABLE,
) -> int:
    """Stops and removes a model, or removes a worker.

    The files of a model stay on the workers. A worker whose agent still runs comes back as a new one.
    """
    return await commands.delete.run(target, name=name, force=force, wait=wait, output=output)


@app.command(rich_help_panel=MESH, epilog=examples("moor up", "moor up --data-dir /srv/moorage"))
def up(
    *,
    data_dir: DataDirOption = DEFAULT_HOME,
    first_port: FirstPortOption = FIRST_PORT,
    debug: DebugOption = False,
) -> None:
    """Runs a whole mesh on this machine, until Ctrl-C.

    It is made of PostgreSQL, a registry, a scheduler, a downloader and an agent.
    """
    execute(
        lambda: commands.up.run(data_dir=data_dir, first_port=first_port, environment=os.environ), debug=debug
    )


@app.command(
    rich_help_panel=MESH,
    epilog=examples("moor quickstart --once", "moor quickstart --model hf:ORG/REPO/FILE.gguf"),
)
def quickstart(
    *,
    data_dir: DataDirOption = DEFAULT_HOME,
    first_port: FirstPortOption = FIRST_PORT,
    once: Annotated[bool, typer.Option("--once", help="Shut down after the answer.")] = False,
    model: Annotated[
        str, typer.Option("--model", metavar="SOURCE", help="Deploy this source in place of the tiny model.")
    ] = "",
    debug: DebugOption = False,
) -> None:
    """Runs a mesh, deploys a model on it and asks it something."""
    execute(
        lambda: commands.quickstart.run(
            data_dir=data_dir, first_port=first_port, environment=os.environ, source=model, once=once
        ),
        debug=debug,
    )
