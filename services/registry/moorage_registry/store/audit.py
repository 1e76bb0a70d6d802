"""Who changed what: written with the change itself, read by people."""

from moorage_registry.core.audit import AuditEntry
from moorage_registry.store import schema
from moorage_registry.store.database import Transaction
from moorage_registry.store.rowsets import RowWriter, row_of

_ROWS = RowWriter(schema.audit_records)


async def write(tx: Transaction, entry: AuditEntry) -> None:
    """Writes one entry in the transaction of the change."""
    await _ROWS.insert(tx.connection, [{**row_of(entry), "time": tx.now}])
