"""The fields of audit records."""

from sqlalchemy import String, cast

from moorage_common.core.names import AUDIT_RECORD
from moorage_registry.store import schema
from moorage_registry.store.fields.columns import text, timestamp
from moorage_registry.store.fields.lists import texts
from moorage_registry.store.fields.names import StoredName
from moorage_registry.store.fields.stored import FieldTable

_C = schema.audit_records.c

AUDIT_FIELDS = FieldTable(
    [
        StoredName("name", AUDIT_RECORD, cast(_C.id, String)),
        timestamp("time", _C.time),
        text("actor", _C.actor),
        text("peer", _C.peer),
        text("user_agent", _C.user_agent),
        text("method", _C.method),
        text("resource", _C.resource),
        text("call_id", _C.call_id),
        text("request_id", _C.request_id),
        texts("changed_fields", _C.changed_fields),
    ]
)
