"""Copies of artifacts on workers: wanted, reported on, and dropped when nobody wants them."""

from collections.abc import Collection, Iterable
from dataclasses import replace

from sqlalchemy import ColumnElement, any_, exists, select
from sqlalchemy.dialects.postgresql import array

from moorage_common.core.ids import new_uid
from moorage_common.core.states import CopyState, DownloadState, PullState
from moorage_registry.core.records import Artifact, ArtifactCopy
from moorage_registry.core.transitions import HOLDS_CLAIM, NOMINATED
from moorage_registry.store import schema
from moorage_registry.store.database import Transaction
from moorage_registry.store.members import SPREAD
from moorage_registry.store.tables import ARTIFACTS, COPIES, DOWNLOADS

Pair = tuple[str, str]
"""Ids of an artifact and a worker."""

_COPIES = schema.artifact_copies


async def want(tx: Transaction, pairs: Collection[Pair]) -> dict[Pair, ArtifactCopy]:
    """Makes artifacts wanted on workers, and their pulls too where bytes are missing. Returns the copies."""
    if not pairs:
        return {}
    artifacts = await lock_artifacts(tx, {artifact for artifact, _ in pairs})
    found = {COPIES.key_of(c): c for c in await COPIES.lock(tx, COPIES.keyed(pairs))}
    new = [_absent(tx, artifacts[a], worker) for a, worker in sorted(set(pairs)) if (a, worker) not in found]
    for copy in await COPIES.insert(tx, new):
        found[copy.artifact_id, copy.worker_id] = copy
    missing = {c.artifact_id for c in found.values() if c.state is not CopyState.READY}
    await queue_pulls(tx, [artifacts[artifact_id] for artifact_id in sorted(missing)])
    return {(copy.artifact_id, copy.worker_id): copy for copy in found.values()}


async def complete_downloads(tx: Transaction, artifact_ids: Collection[str]) -> None:
    """Ends the downloads of artifacts whose copies are all ready."""
    if not artifact_ids:
        return
    table = schema.downloads
    open_ones = await DOWNLOADS.lock(
        tx, table.c.artifact_id.in_(list(artifact_ids)), table.c.state == DownloadState.FETCHING
    )
    if not open_ones:
        return
    ids = {download.artifact_id for download in open_ones}
    found = await COPIES.find(
        tx.connection, _COPIES.c.artifact_id.in_(ids), _COPIES.c.state == CopyState.READY
    )
    there = {(copy.artifact_id, copy.worker_id) for copy in found}
    missing = {(d.artifact_id, worker) for d in open_ones for worker in d.workers} - there
    statement = select(schema.workers.c.id).where(schema.workers.c.id.in_({worker for _, worker in missing}))
    # A worker that was deleted since is waited for no more.
    known = set((await tx.execute(statement)).scalars())
    awaited = {pair for pair in missing if pair[1] in known}
    done = [d for d in open_ones if awaited.isdisjoint((d.artifact_id, worker) for worker in d.workers)]
    await DOWNLOADS.save(tx, [replace(d, state=DownloadState.COMPLETE, error=None) for d in done])


async def drop_unwanted_by_models(tx: Transaction, pairs: Collection[tuple[str, str]]) -> None:
    """Drops copies that instances of models no longer wait for on workers, unless something else wants them.

    Args:
        tx: The transaction.
        pairs: Ids of a model and a worker.
    """
    if not pairs:
        return
    table = schema.models
    statement = select(table.c.id, table.c.artifact_id).where(table.c.id.in_({model for model, _ in pairs}))
    artifact_of = {row.id: row.artifact_id for row in await tx.execute(statement)}
    await drop_unwanted(tx, {(artifact_of[m], w) for m, w in pairs if artifact_of.get(m)})


async def drop_unwanted(tx: Transaction, pairs: Collection[Pair]) -> None:
    """Drops copies that are not ready and that nobody wants; a pull that nobody waits for any more is let go."""
    if not pairs:
        return
    await lock_artifacts(tx, {artifact for artifact, _ in pairs})
    unwanted = await COPIES.lock(
        tx,
        COPIES.keyed(pairs),
        _COPIES.c.state != CopyState.READY,
        ~_wanted_by_instance(),
        ~_wanted_beside(),
        ~_wanted_by_download(),
    )
    await COPIES.delete(tx, unwanted)
    await let_go_pulls(tx, {copy.artifact_id for copy in unwanted})


async def let_go_pulls(tx: Transaction, artifact_ids: Collection[str]) -> None:
    """Ends the pulls of artifacts that no copy waits for any more."""
    for artifact in (await lock_artifacts(tx, artifact_ids)).values():
        left = select(_COPIES.c.uid).where(
            _COPIES.c.artifact_id == artifact.id, _COPIES.c.state != CopyState.READY
        )
        open_pull = artifact.pull_state in {PullState.QUEUED, PullState.PULLING}
        if open_pull and (await tx.execute(left.limit(1))).first() is None:
            await ARTIFACTS.save(tx, [without_lease(artifact, PullState.IDLE)])


async def touch(tx: Transaction, artifact_id: str) -> None:
    """Tells the workers that want an artifact that where to read it has changed."""
    waiting = await COPIES.lock(tx, _COPIES.c.artifact_id == artifact_id, _COPIES.c.state != CopyState.READY)
    await COPIES.save(tx, waiting)


def without_lease(artifact: Artifact, state: PullState) -> Artifact:
    """The artifact with its pull in another state, held by nobody."""
    return replace(
        artifact,
        pull_state=state,
        pull_bytes_per_second=0,
        pull_holder=None,
        pull_lease_id=None,
        pull_lease_expires_at=None,
    )


async def lock_artifacts(tx: Transaction, ids: Iterable[str]) -> dict[str, Artifact]:
    """Locks artifacts. Returns them by their ids."""
    wanted = set(ids)
    found = await ARTIFACTS.lock(tx, schema.artifacts.c.id.in_(wanted)) if wanted else []
    return {artifact.id: artifact for artifact in found}


async def queue_pulls(tx: Transaction, artifacts: Iterable[Artifact]) -> None:
    """Has locked artifacts pulled that nobody pulls and nobody has."""
    idle = [a for a in artifacts if a.pull_state in {PullState.IDLE, PullState.FAILED}]
    await ARTIFACTS.save(tx, [replace(a, pull_state=PullState.QUEUED, pull_error=None) for a in idle])


def _wanted_by_instance() -> ColumnElement[bool]:
    instances, models = schema.instances, schema.models
    return exists().where(
        instances.c.worker_id == _COPIES.c.worker_id,
        instances.c.state.in_(NOMINATED | HOLDS_CLAIM),
        models.c.id == instances.c.model_id,
        models.c.artifact_id == _COPIES.c.artifact_id,
    )


def _wanted_beside() -> ColumnElement[bool]:
    """By an instance of which the copy's worker is a subordinate."""
    instances, models = schema.instances, schema.models
    return exists().where(
        SPREAD,
        instances.c.subordinates.contains(array([_COPIES.c.worker_id])),
        instances.c.artifact_on_all,
        instances.c.state.in_(NOMINATED | HOLDS_CLAIM),
        models.c.id == instances.c.model_id,
        models.c.artifact_id == _COPIES.c.artifact_id,
    )


def _wanted_by_download() -> ColumnElement[bool]:
    table = schema.downloads
    return exists().where(
        table.c.artifact_id == _COPIES.c.artifact_id,
        table.c.state == DownloadState.FETCHING,
        _COPIES.c.worker_id == any_(table.c.workers),
    )


def _absent(tx: Transaction, artifact: Artifact, worker_id: str) -> ArtifactCopy:
    return ArtifactCopy(
        uid=new_uid(),
        created_at=tx.now,
        updated_at=tx.now,
        artifact_id=artifact.id,
        worker_id=worker_id,
        state=CopyState.ABSENT,
        size_bytes=artifact.size_bytes,
    )
