"""`moor instances`: the replicas of models."""

from datetime import UTC, datetime

from moorage_cli import connect
from moorage_cli.console import show
from moorage_cli.listing import all_instances
from moorage_cli.lookup import every_model_or
from moorage_cli.query import Query
from moorage_cli.results import Output, Result, names_of
from moorage_cli.target import MeshTarget
from moorage_cli.views.tables import instance_rows


async def run(target: MeshTarget, *, model: str, query: Query, output: Output) -> int:
    """Lists the instances of a model, or of all."""
    async with connect.registry(target) as registry:
        instances = await all_instances(registry, await every_model_or(registry, model), query)
    result = Result(
        data={"instances": instances},
        names=names_of(instances),
        page=[instance_rows(instances, now=datetime.now(UTC))] if instances else [],
        nothing="No instance is so." if query.filter else "There are no instances.",
    )
    show(output, result)
    return 0
