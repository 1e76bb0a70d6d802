"""`moor workers`: the nodes of the fleet."""

from moorage_cli import connect
from moorage_cli.console import make_console, print_json, print_rows
from moorage_cli.listing import all_workers
from moorage_cli.options import MeshTarget, Output
from moorage_cli.views.tables import worker_rows


async def run(target: MeshTarget, *, output: Output) -> int:
    """Lists workers with what they have."""
    async with connect.registry(target) as registry:
        workers = await all_workers(registry)
    if output is Output.JSON:
        print_json({"workers": workers})
    elif workers:
        print_rows(make_console(), worker_rows(workers))
    else:
        make_console(stderr=True).print("No worker has registered yet. Start one: moorage-agent --help")
    return 0
