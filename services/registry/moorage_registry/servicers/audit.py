"""AuditService."""

from moorage.registry.v1 import audit_service_pb2 as pb
from moorage.registry.v1 import audit_service_pb2_grpc
from moorage_common.rpc.server import ServicerContext
from moorage_registry.convert.audit import audit_record_to_proto
from moorage_registry.store import listing
from moorage_registry.store.database import Database
from moorage_registry.store.lists import AUDIT_LIST


class AuditServicer(audit_service_pb2_grpc.AuditServiceServicer):
    """Who changed what."""

    def __init__(self, database: Database) -> None:
        """Takes the store."""
        self._database = database

    async def ListAuditRecords(
        self, request: pb.ListAuditRecordsRequest, context: ServicerContext
    ) -> pb.ListAuditRecordsResponse:
        async with self._database.read() as connection:
            found, token = await listing.page(connection, AUDIT_LIST, request, query="auditRecords")
        return pb.ListAuditRecordsResponse(records=map(audit_record_to_proto, found), next_page_token=token)
