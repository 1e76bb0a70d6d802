"""`moor ps`: models and their instances."""

from datetime import UTC, datetime

from moorage_cli import connect
from moorage_cli.console import show
from moorage_cli.listing import all_instances, all_models
from moorage_cli.query import Query
from moorage_cli.results import Output, Result, names_of
from moorage_cli.target import MeshTarget
from moorage_cli.views.tables import ps_rows
from moorage_cli.views.words import parent

NO_MODELS = "No models yet. Deploy one: moor deploy hf:ORG/REPO/FILE.gguf"


async def run(target: MeshTarget, *, query: Query, output: Output) -> int:
    """Lists models with their instances."""
    async with connect.registry(target) as registry:
        models = await all_models(registry, query)
        listed = set(names_of(models))
        instances = [each for each in await all_instances(registry) if parent(each.name) in listed]
    result = Result(
        data={"models": models, "instances": instances},
        names=[*names_of(models), *names_of(instances)],
        page=[ps_rows(models, instances, now=datetime.now(UTC))] if models else [],
        nothing="No model is so." if query.filter else NO_MODELS,
    )
    show(output, result)
    return 0
