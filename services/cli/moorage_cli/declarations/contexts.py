"""Commands about contexts: meshes by name."""

from typing import Annotated

import typer

from moorage_cli import commands, completing
from moorage_cli.declarations.shared import examples
from moorage_cli.options import DebugOption, OutputOption, connected, execute
from moorage_cli.results import Output
from moorage_cli.target import MeshTarget

app = typer.Typer(no_args_is_help=True)

KnownArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A context.", autocompletion=completing.contexts)
]


def _address(service: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        f"--{service}", metavar="HOST:PORT", help=f"The {service}.", show_default=False
    )
    return option


@app.command(name="list", epilog=examples("moor context list", "moor context list -o name"))
def list_(*, output: OutputOption = Output.TABLE, debug: DebugOption = False) -> None:
    """Lists the meshes that have a name here."""
    execute(lambda: commands.context.list_(output=output), debug=debug)


@app.command(epilog=examples("moor context show", "moor context show --context prod"))
@connected
async def show(target: MeshTarget, *, output: OutputOption = Output.TABLE) -> int:
    """Shows which addresses commands call now, and who says so."""
    return await commands.context.show_(target, output=output)


@app.command(epilog=examples("moor context use prod"))
def use(*, name: KnownArgument, debug: DebugOption = False) -> None:
    """Makes a context the current one: that which is used when nothing else is said."""
    execute(lambda: commands.context.use(name=name), debug=debug)


@app.command(
    name="set",
    epilog=examples(
        "moor context set prod --registry 10.0.0.1:7600 --insecure",
        "moor context set prod --scheduler 10.0.0.1:7601",
    ),
)
def set_(
    *,
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A context, new or known.", autocompletion=completing.contexts),
    ],
    registry: Annotated[str, _address("registry")] = "",
    scheduler: Annotated[str, _address("scheduler")] = "",
    downloader: Annotated[str, _address("downloader")] = "",
    insecure: Annotated[
        bool | None,
        typer.Option(
            "--insecure/--secure",
            help="Allow plaintext beyond this machine, or only on it.",
            show_default=False,
        ),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Gives a mesh a name, or changes what is said of one. What is not given stays."""
    addresses = {"registry": registry, "scheduler": scheduler, "downloader": downloader}
    execute(lambda: commands.context.set_(name=name, addresses=addresses, insecure=insecure), debug=debug)


@app.command(epilog=examples("moor context delete old"))
def delete(*, name: KnownArgument, debug: DebugOption = False) -> None:
    """Forgets the name of a mesh. The mesh itself is left alone."""
    execute(lambda: commands.context.delete(name=name), debug=debug)
