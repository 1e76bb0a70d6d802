"""Puts what a client's call changed on record: who, what, and from what to what."""

from google.protobuf.message import Message

from moorage_common.rpc import context
from moorage_registry.convert.events import resource_to_proto
from moorage_registry.convert.json import to_json
from moorage_registry.core.audit import AuditEntry, changed_fields
from moorage_registry.core.changes import Change, Operation, Resource, WorkerView, name_of
from moorage_registry.core.records import Json, Worker
from moorage_registry.store import audit
from moorage_registry.store.database import Transaction


async def record_call(tx: Transaction, request: Message, response: Message) -> None:
    """Writes the audit record of the call being served, once its change is made."""
    resource = _resource_name(request, response)
    change = next((change for change in tx.changes if name_of(change.resource) == resource), None)
    before = _before(tx, change) if change else None
    after = _after(change) if change else None
    caller = context.caller()
    entry = AuditEntry(
        actor=caller.actor,
        peer=caller.peer,
        user_agent=caller.user_agent,
        method=caller.method,
        resource=resource,
        call_id=context.request_id(),
        request_id=getattr(request, "request_id", ""),
        request=to_json(request),
        before=before,
        after=after,
        changed_fields=changed_fields(before, after),
    )
    await audit.write(tx, entry)


def _resource_name(request: Message, response: Message) -> str:
    """The resource that was named, or that was made and is answered."""
    named: str = getattr(request, "name", "")
    answered = [value.name for _, value in response.ListFields() if hasattr(value, "name")]
    return named or next(iter(answered), "")


def _before(tx: Transaction, change: Change) -> Json | None:
    match change.resource:
        case WorkerView(worker=worker):
            found = tx.before(worker.uid)
            return _to_json(WorkerView(found, ())) if isinstance(found, Worker) else None
        case resource:
            record = tx.before(resource.uid)
            return _to_json(record) if isinstance(record, type(resource)) else None


def _after(change: Change) -> Json | None:
    if change.operation is Operation.DELETED:
        return None
    match change.resource:
        case WorkerView(worker=worker):
            # Its memory pools change by themselves.
            return _to_json(WorkerView(worker, ()))
        case resource:
            return _to_json(resource)


def _to_json(resource: Resource) -> Json:
    return to_json(resource_to_proto(resource))
