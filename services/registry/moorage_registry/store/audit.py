"""Who changed what: written with the change itself, read by people."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from moorage_registry.core.audit import AuditEntry, AuditRecord
from moorage_registry.store import schema
from moorage_registry.store.database import Transaction
from moorage_registry.store.rowsets import RowWriter, row_of

_ROWS = RowWriter(schema.audit_records)
_NAMES = tuple(field.name for field in fields(AuditRecord))

AUDIT_COLUMNS = [schema.audit_records.c[name] for name in _NAMES]
"""What an audit record is made of."""


def audit_record(values: Sequence[Any]) -> AuditRecord:
    """Makes an audit record of the values of `AUDIT_COLUMNS`."""
    return AuditRecord(**dict(zip(_NAMES, values, strict=True)))


async def write(tx: Transaction, entry: AuditEntry) -> None:
    """Writes one entry in the transaction of the change."""
    await _ROWS.insert(tx.connection, [{**row_of(entry), "time": tx.now}])
