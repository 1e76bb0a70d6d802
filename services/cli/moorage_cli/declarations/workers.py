"""Commands about workers."""

import typer

from moorage_cli import commands
from moorage_cli.declarations.shared import WORKERS, TimeoutOption, WaitOption, WorkerArgument, examples
from moorage_cli.options import OutputOption, connected, listed
from moorage_cli.query import Query
from moorage_cli.results import Output
from moorage_cli.target import MeshTarget

app = typer.Typer()


@app.command(
    rich_help_panel=WORKERS,
    epilog=examples("moor workers -l zone=a", "moor workers --filter 'state != READY'"),
)
@listed(labels=True)
async def workers(target: MeshTarget, query: Query, *, output: OutputOption = Output.TABLE) -> int:
    """Lists workers, and what they have."""
    return await commands.workers.run(target, query=query, output=output)


@app.command(rich_help_panel=WORKERS, epilog=examples("moor cordon gpu-07"))
@connected
async def cordon(target: MeshTarget, *, worker: WorkerArgument, output: OutputOption = Output.TABLE) -> int:
    """Lets a worker take no new instances. What runs there stays."""
    return await commands.cordon.cordon(target, worker=worker, output=output)


@app.command(rich_help_panel=WORKERS, epilog=examples("moor uncordon gpu-07"))
@connected
async def uncordon(target: MeshTarget, *, worker: WorkerArgument, output: OutputOption = Output.TABLE) -> int:
    """Lets a worker take new instances again, and calls off its drain."""
    return await commands.cordon.uncordon(target, worker=worker, output=output)


@app.command(rich_help_panel=WORKERS, epilog=examples("moor drain gpu-07", "moor drain gpu-07 --timeout 600"))
@connected
async def drain(
    target: MeshTarget,
    *,
    worker: WorkerArgument,
    wait: WaitOption = True,
    timeout_s: TimeoutOption = None,
    output: OutputOption = Output.TABLE,
) -> int:
    """Empties a worker: others take over, then what is there stops.

    It goes on in the mesh when this command ends, and is called off by moor uncordon.
    """
    return await commands.drain.run(target, worker=worker, wait=wait, timeout_s=timeout_s, output=output)
