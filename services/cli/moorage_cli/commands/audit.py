"""`moor audit`: who changed what, when, and from what to what."""

from moorage_cli import connect
from moorage_cli.console import show
from moorage_cli.listing import audit_records
from moorage_cli.names import resource_of
from moorage_cli.query import Query, is_equal
from moorage_cli.results import Output, Result, names_of
from moorage_cli.target import MeshTarget
from moorage_cli.views.auditing import audit_rows
from moorage_common.core.names import MODEL


async def run(target: MeshTarget, *, name: str, query: Query, output: Output) -> int:
    """Lists the audit records of one resource, or of all."""
    if name:
        query = query.narrowed(_on(resource_of(name)))
    async with connect.registry(target) as registry:
        records = await audit_records(registry, query)
    result = Result(
        data={"records": records},
        names=names_of(records),
        page=[audit_rows(records)] if records else [],
        nothing="There is no record of any such change.",
    )
    show(output, result)
    return 0


def _on(resource: str) -> str:
    """The condition that a record is of a resource; that of a model also covers its instances."""
    own = is_equal("resource", resource)
    return f"{own} OR {is_equal('resource', f'{resource}/instances/*')}" if MODEL.matches(resource) else own
