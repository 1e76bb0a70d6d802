"""`moor artifacts`: files by the revision that they were resolved to, and where they are."""

from datetime import UTC, datetime

from moorage_cli import connect
from moorage_cli.console import show
from moorage_cli.listing import all_artifacts, all_copies
from moorage_cli.query import Query
from moorage_cli.results import Output, Result, names_of
from moorage_cli.target import MeshTarget
from moorage_cli.views.tables import artifact_rows


async def run(target: MeshTarget, *, query: Query, output: Output) -> int:
    """Lists artifacts with their copies."""
    async with connect.registry(target) as registry:
        artifacts = await all_artifacts(registry, query)
        listed = set(names_of(artifacts))
        copies = [copy for copy in await all_copies(registry) if copy.artifact in listed]
    none = "No artifacts yet: they come with deployments, or with 'moor pull'."
    result = Result(
        data={"artifacts": artifacts, "copies": copies},
        names=names_of(artifacts),
        page=[artifact_rows(artifacts, copies, now=datetime.now(UTC))] if artifacts else [],
        nothing="No artifact is so." if query.filter else none,
    )
    show(output, result)
    return 0
