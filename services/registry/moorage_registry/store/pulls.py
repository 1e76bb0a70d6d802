"""Pulls of artifacts from their sources: leased by one downloader at a time."""

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import ColumnElement, or_, select

from moorage_common.core.ids import new_uid
from moorage_common.core.states import CopyState, DownloadState, InstanceState, PullState
from moorage_registry.core.pulled import check_pulled
from moorage_registry.core.records import Artifact, Json
from moorage_registry.store import copies, schema
from moorage_registry.store.database import Overtaken, Transaction
from moorage_registry.store.resolutions import stale_lease
from moorage_registry.store.tables import ARTIFACTS, COPIES, DOWNLOADS, INSTANCES

_TABLE = schema.artifacts


async def lease(
    tx: Transaction, *, holder: str, address: str, held: Collection[str], limit: int, ttl: timedelta
) -> list[Artifact]:
    """Leases pulls: queued ones, lapsed ones, and the holder's from before it restarted.

    What the holder has pulled before can be read at its address of today from now on.
    """
    await _serve_at(tx, holder, address)
    lapsed = or_(
        _TABLE.c.pull_lease_expires_at < tx.now,
        (_TABLE.c.pull_holder == holder) & _TABLE.c.pull_lease_id.not_in(list(held)),
    )
    wanted = or_(_TABLE.c.pull_state == PullState.QUEUED, (_TABLE.c.pull_state == PullState.PULLING) & lapsed)
    free = await ARTIFACTS.lock(tx, wanted, skip_locked=True, limit=limit)
    leased = [
        replace(
            artifact,
            pull_state=PullState.PULLING,
            pull_address=address,
            pull_bytes_per_second=0,
            pull_error=None,
            pull_holder=holder,
            pull_lease_id=new_uid(),
            pull_lease_expires_at=tx.now + ttl,
        )
        for artifact in free
    ]
    saved = await ARTIFACTS.save(tx, leased)
    for artifact in saved:
        await copies.touch(tx, artifact.id)
    return saved


async def renew(
    tx: Transaction,
    lease_id: str,
    *,
    done_bytes: int,
    bytes_per_second: int,
    error: Json | None,
    ttl: timedelta,
) -> None:
    """Keeps a lease alive and notes how far the pull is.

    Raises:
        Aborted: The lease is not the caller's any more, or nobody wants the pull (LEASE_STALE).
    """
    artifact = await _leased(tx, lease_id)
    renewed = replace(
        artifact,
        pull_done_bytes=min(done_bytes, artifact.size_bytes),
        pull_bytes_per_second=bytes_per_second,
        pull_error=error,
        pull_lease_expires_at=tx.now + ttl,
    )
    await ARTIFACTS.save(tx, [renewed])


async def complete(tx: Transaction, lease_id: str, files: list[Json]) -> None:
    """Ends a pull that is whole and verified; the files' digests are known from now on.

    Raises:
        Aborted: The lease is not the caller's any more (LEASE_STALE).
        InvalidArgument: The files are not the artifact's, or a digest is missing.
    """
    leased = await _leased(tx, lease_id)
    check_pulled(leased, files)
    artifact = copies.without_lease(leased, PullState.COMPLETE)
    done = replace(
        artifact,
        files=files,
        pull_holder=leased.pull_holder,
        pull_done_bytes=artifact.size_bytes,
        pull_error=None,
    )
    await ARTIFACTS.save(tx, [done])
    await copies.touch(tx, artifact.id)


async def fail(tx: Transaction, lease_id: str, error: Json) -> None:
    """Ends a pull for good. Downloads of it fail; instances that wait for it tell why, until somebody starts them anew.

    Raises:
        Aborted: The lease is not the caller's any more (LEASE_STALE).
    """
    peeked = await ARTIFACTS.find(tx.connection, _TABLE.c.pull_lease_id == lease_id)
    of_artifact = _fetching([artifact.id for artifact in peeked])
    waiting = await INSTANCES.lock(tx, *of_artifact)
    artifact = await _leased(tx, lease_id)
    if len(await INSTANCES.find(tx.connection, *of_artifact)) > len(waiting):
        # One was nominated before the artifact was locked, and waits for this pull.
        raise Overtaken
    failed = copies.without_lease(artifact, PullState.FAILED)
    await ARTIFACTS.save(tx, [replace(failed, pull_address="", pull_error=error)])
    await INSTANCES.save(tx, [replace(instance, error=error) for instance in waiting])
    missing = await COPIES.lock(
        tx,
        schema.artifact_copies.c.artifact_id == artifact.id,
        schema.artifact_copies.c.state != CopyState.READY,
    )
    open_downloads = await DOWNLOADS.lock(
        tx,
        schema.downloads.c.artifact_id == artifact.id,
        schema.downloads.c.state == DownloadState.FETCHING,
    )
    await DOWNLOADS.save(
        tx, [replace(download, state=DownloadState.FAILED, error=error) for download in open_downloads]
    )
    await copies.drop_unwanted(tx, {(copy.artifact_id, copy.worker_id) for copy in missing})


async def _serve_at(tx: Transaction, holder: str, address: str) -> None:
    moved = await ARTIFACTS.lock(
        tx,
        _TABLE.c.pull_state == PullState.COMPLETE,
        _TABLE.c.pull_holder == holder,
        _TABLE.c.pull_address != address,
    )
    await ARTIFACTS.save(tx, [replace(artifact, pull_address=address) for artifact in moved])
    for artifact in moved:
        await copies.touch(tx, artifact.id)


def _fetching(artifact_ids: list[str]) -> list[ColumnElement[bool]]:
    models = select(schema.models.c.id).where(schema.models.c.artifact_id.in_(artifact_ids))
    table = schema.instances
    return [table.c.state == InstanceState.FETCHING, table.c.model_id.in_(models.scalar_subquery())]


async def _leased(tx: Transaction, lease_id: str) -> Artifact:
    found = await ARTIFACTS.lock(
        tx, _TABLE.c.pull_lease_id == lease_id, _TABLE.c.pull_state == PullState.PULLING
    )
    if not found:
        raise stale_lease("the pull")
    return found[0]
