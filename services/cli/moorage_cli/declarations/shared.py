"""Arguments and options that several commands have, and how their help shows examples."""

from typing import Annotated

import typer

from moorage_cli import completing

MODELS = "Models"
WORKERS = "Workers"
ARTIFACTS = "Artifacts"
MESH = "Mesh"
CONTEXTS = "Contexts"
"""The panels of `moor --help`."""

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model: its id or name.", autocompletion=completing.models)
]
AnyModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="Of this model alone.", autocompletion=completing.models, show_default=False
    ),
]
SubjectArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL|INSTANCE",
        help="A model, or one instance: tiny, tiny/a1b2c3d4.",
        autocompletion=completing.instances,
    ),
]
WorkerArgument = Annotated[
    str,
    typer.Argument(metavar="WORKER", help="A worker: its id or name.", autocompletion=completing.workers),
]
SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="hf:ORG/REPO, hf:ORG/REPO@REVISION/FILE, https://… or file:/PATH (on the downloader).",
    ),
]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is so.")]
TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", min=0, help="Wait no longer than this; then exit with 3."),
]


def examples(*lines: str) -> str:
    """Returns what a command's help shows below its options."""
    return "\n".join(("Examples:", *(f"  {line}".replace("[", r"\[") for line in lines)))
