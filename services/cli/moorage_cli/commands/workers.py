"""`moor workers`: the nodes of the fleet."""

from moorage_cli import connect
from moorage_cli.console import show
from moorage_cli.listing import all_workers
from moorage_cli.query import Query
from moorage_cli.results import Output, Result, names_of
from moorage_cli.target import MeshTarget
from moorage_cli.views.tables import worker_rows


async def run(target: MeshTarget, *, query: Query, output: Output) -> int:
    """Lists workers with what they have."""
    async with connect.registry(target) as registry:
        workers = await all_workers(registry, query)
    none = "No worker has registered yet. Start one: moorage-agent --help"
    result = Result(
        data={"workers": workers},
        names=names_of(workers),
        page=[worker_rows(workers)] if workers else [],
        nothing="No worker is so." if query.filter else none,
    )
    show(output, result)
    return 0
