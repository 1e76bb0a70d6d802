"""Audit records as protos."""

from google.protobuf.struct_pb2 import Struct

from moorage.registry.v1 import audit_service_pb2 as pb
from moorage_common.core.names import audit_record_name
from moorage_registry.convert.json import from_json, timestamp
from moorage_registry.core.audit import AuditRecord
from moorage_registry.core.records import Json


def audit_record_to_proto(record: AuditRecord) -> pb.AuditRecord:
    """Returns an audit record."""
    return pb.AuditRecord(
        name=audit_record_name(record.id),
        time=timestamp(record.time),
        actor=record.actor,
        peer=record.peer,
        user_agent=record.user_agent,
        method=record.method,
        resource=record.resource,
        call_id=record.call_id,
        request_id=record.request_id,
        request=_struct(record.request),
        before=_struct(record.before),
        after=_struct(record.after),
        changed_fields=record.changed_fields,
    )


def _struct(json: Json | None) -> Struct | None:
    return None if json is None else from_json(json, Struct())
