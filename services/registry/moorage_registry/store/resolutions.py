"""Sources on their way to artifacts: leased by downloaders, answered once."""

from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, or_, select, update

from moorage_common.core.errors import Aborted, ErrorReason
from moorage_common.core.ids import new_uid
from moorage_common.core.states import CopyState, DownloadState, ResolutionState
from moorage_registry.core.records import Artifact, Json, Model, Resolution
from moorage_registry.store import copies, schema
from moorage_registry.store.database import Transaction
from moorage_registry.store.lookups import lock_download, lock_model_if_any
from moorage_registry.store.tables import ARTIFACTS, DOWNLOADS, MODELS

_TABLE = schema.resolutions


async def lease(
    tx: Transaction, *, holder: str, held: Collection[str], limit: int, ttl: timedelta
) -> list[Resolution]:
    """Leases resolutions that are due: free ones, lapsed ones, and the holder's from before it restarted."""
    free = or_(
        _TABLE.c.lease_id.is_(None),
        _TABLE.c.lease_expires_at < tx.now,
        (_TABLE.c.holder == holder) & _TABLE.c.lease_id.not_in(list(held)),
    )
    statement = (
        select(*_columns())
        .where(_TABLE.c.not_before <= tx.now, free)
        .order_by(_TABLE.c.not_before, _TABLE.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    leased = [
        replace(_record(row), holder=holder, lease_id=new_uid(), lease_expires_at=tx.now + ttl)
        for row in await tx.execute(statement)
    ]
    for resolution in leased:
        values = {"holder": holder, "lease_id": resolution.lease_id, "lease_expires_at": tx.now + ttl}
        await tx.execute(update(_TABLE).where(_TABLE.c.id == resolution.id).values(values))
    return leased


async def record_artifact(tx: Transaction, artifact: Artifact) -> Artifact:
    """Stores an artifact unless it is known; what is known stays as it is, for it is immutable."""
    found = await ARTIFACTS.lock(tx, schema.artifacts.c.id == artifact.id)
    if found:
        return found[0]
    [stored] = await ARTIFACTS.insert(tx, [artifact])
    return stored


async def resolve(tx: Transaction, lease_id: str, artifact: Artifact) -> None:
    """Pins what waited for the source to its artifact, and ends the resolution.

    Raises:
        Aborted: The lease is not the caller's any more (LEASE_STALE).
    """
    found = await _peek(tx, lease_id)
    if found.model_id:
        model = await _lock_owner(tx, found.model_id)
        stored = await record_artifact(tx, artifact)
        await _take(tx, lease_id)
        resolved = replace(
            model,
            resolution_state=ResolutionState.RESOLVED,
            artifact_id=stored.id,
            resolution_error=None,
        )
        await MODELS.save(tx, [resolved])
    elif found.download_id:
        stored = await record_artifact(tx, artifact)
        [peeked] = await DOWNLOADS.find(tx.connection, schema.downloads.c.id == found.download_id)
        table = schema.workers
        known = await tx.execute(select(table.c.id).where(table.c.id.in_(peeked.workers)))
        wanted = await copies.want(tx, {(stored.id, worker) for worker in known.scalars()})
        there = all(copy.state is CopyState.READY for copy in wanted.values())
        download = await lock_download(tx, found.download_id)
        await _take(tx, lease_id)
        state = DownloadState.COMPLETE if there else DownloadState.FETCHING
        await DOWNLOADS.save(tx, [replace(download, state=state, artifact_id=stored.id, error=None)])


async def fail(tx: Transaction, lease_id: str, error: Json, *, retry_after: timedelta | None) -> None:
    """Notes that a source could not be resolved: for good, or until it is tried again.

    Raises:
        Aborted: The lease is not the caller's any more (LEASE_STALE).
    """
    found = await _peek(tx, lease_id)
    final = retry_after is None
    if found.model_id:
        model = await _lock_owner(tx, found.model_id)
        state = ResolutionState.FAILED if final else ResolutionState.RESOLVING
        await MODELS.save(tx, [replace(model, resolution_state=state, resolution_error=error)])
    elif found.download_id:
        download = await lock_download(tx, found.download_id)
        verdict = DownloadState.FAILED if final else DownloadState.RESOLVING
        await DOWNLOADS.save(tx, [replace(download, state=verdict, error=error)])
    await _take(tx, lease_id)
    if retry_after is not None:
        again = replace(
            found,
            failed_attempts=found.failed_attempts + 1,
            not_before=tx.now + retry_after,
            holder=None,
            lease_id=None,
            lease_expires_at=None,
        )
        await tx.execute(_TABLE.insert().values({f.name: getattr(again, f.name) for f in fields(again)}))


def _columns() -> Sequence[Any]:
    return [_TABLE.c[field.name] for field in fields(Resolution)]


def _record(row: Any) -> Resolution:  # noqa: ANN401
    return Resolution(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it


async def _peek(tx: Transaction, lease_id: str) -> Resolution:
    """Reads a leased resolution without locking it: its owner is locked first."""
    row = (await tx.execute(select(*_columns()).where(_TABLE.c.lease_id == lease_id))).first()
    if row is None:
        raise stale_lease("the resolution")
    return _record(row)


async def _lock_owner(tx: Transaction, model_id: str) -> Model:
    model = await lock_model_if_any(tx, model_id)
    if model is None:
        raise stale_lease("the resolution")
    return model


async def _take(tx: Transaction, lease_id: str) -> None:
    """Removes a leased resolution."""
    removed = await tx.execute(delete(_TABLE).where(_TABLE.c.lease_id == lease_id).returning(_TABLE.c.id))
    if removed.first() is None:
        raise stale_lease("the resolution")


def stale_lease(what: str) -> Aborted:
    """The error of a downloader whose lease is gone."""
    return Aborted(
        f"the lease of {what} has lapsed, or nobody wants it any more",
        reason=ErrorReason.LEASE_STALE,
        remedy="Stop this work and lease anew.",
    )
