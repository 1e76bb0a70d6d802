"""`moor ps`: models and their instances."""

from datetime import UTC, datetime

from moorage_cli import connect
from moorage_cli.console import make_console, print_json, print_rows
from moorage_cli.listing import all_instances, all_models
from moorage_cli.options import MeshTarget, Output
from moorage_cli.views.tables import model_rows


async def run(target: MeshTarget, *, output: Output) -> int:
    """Lists models with their instances."""
    async with connect.registry(target) as registry:
        models = await all_models(registry)
        instances = await all_instances(registry)
    if output is Output.JSON:
        print_json({"models": models, "instances": instances})
    elif models:
        print_rows(make_console(), model_rows(models, instances, now=datetime.now(UTC)))
    else:
        make_console(stderr=True).print("No models yet. Deploy one: moor deploy hf:ORG/REPO/FILE.gguf")
    return 0
