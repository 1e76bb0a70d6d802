"""`moor endpoints`: where models answer."""

from datetime import UTC, datetime

from moorage_cli import connect
from moorage_cli.console import show
from moorage_cli.listing import all_endpoints
from moorage_cli.lookup import every_model_or
from moorage_cli.query import Query
from moorage_cli.results import Output, Result
from moorage_cli.target import MeshTarget
from moorage_cli.views.tables import endpoint_rows


async def run(target: MeshTarget, *, model: str, query: Query, output: Output) -> int:
    """Lists where a model, or all, can be reached."""
    async with connect.registry(target) as registry:
        endpoints = await all_endpoints(registry, await every_model_or(registry, model), query)
    result = Result(
        data={"endpoints": endpoints},
        names=[each.instance for each in endpoints],
        page=[endpoint_rows(endpoints, now=datetime.now(UTC))] if endpoints else [],
        nothing="Nothing answers. 'moor instances' shows why.",
    )
    show(output, result)
    return 0
