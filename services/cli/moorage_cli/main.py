"""The command line `moor`. Commands are declared by topic in `declarations`, and done in `commands`."""

import typer

from moorage_cli.declarations import artifacts, contexts, mesh, models, workers
from moorage_cli.declarations.shared import CONTEXTS
from moorage_cli.exits import MEANINGS
from moorage_cli.terminal import tolerate_any_encoding

_EXIT_CODES = "\n".join(("Exit codes:", *(f"{code:>5}  {meaning}" for code, meaning in MEANINGS.items())))

app = typer.Typer(
    name="moor",
    help="Serves large language models on a fleet of workers, or on this machine alone.",
    epilog=_EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for topic in (models, workers, artifacts, mesh):
    app.add_typer(topic.app)
app.add_typer(
    contexts.app,
    name="context",
    help="Meshes by name: which there are, and which is used.",
    rich_help_panel=CONTEXTS,
)


def main() -> None:
    """Runs `moor`."""
    tolerate_any_encoding()
    app()
