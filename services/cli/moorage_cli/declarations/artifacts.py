"""Commands about files."""

from typing import Annotated

import typer

from moorage_cli import commands, completing
from moorage_cli.declarations.shared import ARTIFACTS, SourceArgument, WaitOption, examples
from moorage_cli.options import OutputOption, connected, listed
from moorage_cli.query import Query
from moorage_cli.results import Output
from moorage_cli.target import MeshTarget

app = typer.Typer()


@app.command(
    rich_help_panel=ARTIFACTS, epilog=examples("moor artifacts --order-by 'size_bytes desc' --limit 10")
)
@listed()
async def artifacts(target: MeshTarget, query: Query, *, output: OutputOption = Output.TABLE) -> int:
    """Lists what sources were resolved to, and which workers have it."""
    return await commands.artifacts.run(target, query=query, output=output)


@app.command(
    rich_help_panel=ARTIFACTS,
    epilog=examples("moor pull hf:ORG/REPO/FILE.gguf", "moor pull hf:ORG/REPO/FILE.gguf --to gpu-07,gpu-08"),
)
@connected
async def pull(
    target: MeshTarget,
    *,
    source: SourceArgument,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            "--worker",
            metavar="WORKER[,…]",
            help="Onto these workers. All that are ready if not given.",
            autocompletion=completing.workers,
        ),
    ] = None,
    wait: WaitOption = True,
    output: OutputOption = Output.TABLE,
) -> int:
    """Brings a source onto workers ahead of any deployment."""
    return await commands.pull.run(target, source=source, workers=to or [], wait=wait, output=output)
