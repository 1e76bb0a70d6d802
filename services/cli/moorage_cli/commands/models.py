"""`moor models`: what is wanted, and how much of it runs."""

from datetime import UTC, datetime

from moorage_cli import connect
from moorage_cli.commands.ps import NO_MODELS
from moorage_cli.console import show
from moorage_cli.listing import all_instances, all_models
from moorage_cli.query import Query
from moorage_cli.results import Output, Result, names_of
from moorage_cli.target import MeshTarget
from moorage_cli.views.tables import model_rows


async def run(target: MeshTarget, *, query: Query, output: Output) -> int:
    """Lists models."""
    async with connect.registry(target) as registry:
        models = await all_models(registry, query)
        instances = await all_instances(registry) if models else []
    result = Result(
        data={"models": models},
        names=names_of(models),
        page=[model_rows(models, instances, now=datetime.now(UTC))] if models else [],
        nothing="No model is so." if query.filter else NO_MODELS,
    )
    show(output, result)
    return 0
