"""Copies of artifacts on workers: wanted, reported on, and dropped when nobody wants them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, any_, exists, select
from sqlalchemy.dialects.postgresql import array

from moorage_common.core.errors import ErrorReason
from moorage_common.core.ids import new_uid
from moorage_common.core.states import CopyState, DownloadState, InstanceState, PullState
from moorage_registry.core.instances import apply
from moorage_registry.core.records import Artifact, ArtifactCopy, Instance, Json
from moorage_registry.core.transitions import HOLDS_CLAIM, NOMINATED, InstanceEvent
from moorage_registry.store import schema
from moorage_registry.store.database import Overtaken, Transaction
from moorage_registry.store.lookups import lock_copy
from moorage_registry.store.members import SPREAD, loads_at
from moorage_registry.store.tables import ARTIFACTS, COPIES, DOWNLOADS, INSTANCES

Pair = tuple[str, str]
"""Ids of an artifact and a worker."""

_COPIES = schema.artifact_copies


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """What an agent says of a copy."""

    state: CopyState
    done_bytes: int
    bytes_per_second: int
    error: Json | None = None
    error_reason: str = ""


async def want(tx: Transaction, pairs: Collection[Pair]) -> dict[Pair, ArtifactCopy]:
    """Makes artifacts wanted on workers, and their pulls too where bytes are missing. Returns the copies."""
    if not pairs:
        return {}
    artifacts = await _lock_artifacts(tx, {artifact for artifact, _ in pairs})
    found = {COPIES.key_of(c): c for c in await COPIES.lock(tx, COPIES.keyed(pairs))}
    new = [_absent(tx, artifacts[a], worker) for a, worker in sorted(set(pairs)) if (a, worker) not in found]
    for copy in await COPIES.insert(tx, new):
        found[copy.artifact_id, copy.worker_id] = copy
    missing = {c.artifact_id for c in found.values() if c.state is not CopyState.READY}
    await _queue_pulls(tx, [artifacts[artifact_id] for artifact_id in sorted(missing)])
    return {(copy.artifact_id, copy.worker_id): copy for copy in found.values()}


async def report(tx: Transaction, artifact_id: str, worker_id: str, what: CopyReport) -> ArtifactCopy:
    """Takes an agent's report. Instances that waited for the copy go on; bytes that are gone are pulled again.

    Raises:
        NotFound: The copy is no longer wanted.
    """
    ready = what.state is CopyState.READY
    waiting = await INSTANCES.lock(tx, *_waiting(artifact_id, worker_id)) if ready else []
    # Of those over several workers, the ones that wait for this copy alone.
    served = await _without_missing(tx, artifact_id, worker_id, waiting)
    lost = not ready and await _is_ready(tx, artifact_id, worker_id)
    artifacts = await _lock_artifacts(tx, {artifact_id} if what.error_reason or lost else ())
    copy = await lock_copy(tx, artifact_id, worker_id)
    if ready and len(await INSTANCES.find(tx.connection, *_waiting(artifact_id, worker_id))) > len(waiting):
        # One was nominated before the copy was locked, and saw it on its way.
        raise Overtaken
    changed = replace(
        copy,
        state=what.state,
        done_bytes=copy.size_bytes if ready else min(what.done_bytes, copy.size_bytes),
        bytes_per_second=0 if ready else what.bytes_per_second,
        error=None if ready else what.error,
    )
    if changed != copy:
        [changed] = await COPIES.save(tx, [changed])
    await INSTANCES.save(
        tx, [apply(i, InstanceEvent.ARTIFACT_READY, now=tx.now, error=None).after for i in served]
    )
    if ready:
        await complete_downloads(tx, artifact_id)
    if what.error_reason == ErrorReason.BLOB_NOT_FOUND:
        gone = [a for a in artifacts.values() if a.pull_state is PullState.COMPLETE]
        await ARTIFACTS.save(tx, [replace(a, pull_state=PullState.QUEUED, pull_done_bytes=0) for a in gone])
    elif lost:
        await _queue_pulls(tx, artifacts.values())
    return changed


async def complete_downloads(tx: Transaction, artifact_id: str) -> None:
    """Ends the downloads of an artifact whose copies are all ready."""
    table = schema.downloads
    open_ones = await DOWNLOADS.lock(
        tx, table.c.artifact_id == artifact_id, table.c.state == DownloadState.FETCHING
    )
    if not open_ones:
        return
    statement = select(_COPIES.c.worker_id).where(
        _COPIES.c.artifact_id == artifact_id, _COPIES.c.state == CopyState.READY
    )
    there = set((await tx.execute(statement)).scalars())
    missing = select(schema.workers.c.id).where(
        schema.workers.c.id.in_({worker for d in open_ones for worker in d.workers} - there)
    )
    # A worker that was deleted since is waited for no more.
    awaited = set((await tx.execute(missing)).scalars())
    done = [d for d in open_ones if awaited.isdisjoint(d.workers)]
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
    await _lock_artifacts(tx, {artifact for artifact, _ in pairs})
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
    for artifact in (await _lock_artifacts(tx, artifact_ids)).values():
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


async def _lock_artifacts(tx: Transaction, ids: Iterable[str]) -> dict[str, Artifact]:
    wanted = set(ids)
    found = await ARTIFACTS.lock(tx, schema.artifacts.c.id.in_(wanted)) if wanted else []
    return {artifact.id: artifact for artifact in found}


async def _queue_pulls(tx: Transaction, artifacts: Iterable[Artifact]) -> None:
    idle = [a for a in artifacts if a.pull_state in {PullState.IDLE, PullState.FAILED}]
    await ARTIFACTS.save(tx, [replace(a, pull_state=PullState.QUEUED, pull_error=None) for a in idle])


def _waiting(artifact_id: str, worker_id: str) -> list[ColumnElement[bool]]:
    models = select(schema.models.c.id).where(schema.models.c.artifact_id == artifact_id)
    table = schema.instances
    return [
        loads_at(worker_id),
        table.c.state == InstanceState.FETCHING,
        table.c.model_id.in_(models.scalar_subquery()),
    ]


async def _without_missing(
    tx: Transaction, artifact_id: str, worker_id: str, waiting: Sequence[Instance]
) -> list[Instance]:
    """Returns the instances whose other workers all have the artifact."""
    others = {worker for i in waiting for worker in i.loading_workers} - {worker_id}
    if not others:
        return list(waiting)
    pairs = [(artifact_id, worker) for worker in others]
    found = await COPIES.find(tx.connection, COPIES.keyed(pairs), _COPIES.c.state == CopyState.READY)
    there = {copy.worker_id for copy in found} | {worker_id}
    return [instance for instance in waiting if there.issuperset(instance.loading_workers)]


async def _is_ready(tx: Transaction, artifact_id: str, worker_id: str) -> bool:
    ready = _COPIES.c.state == CopyState.READY
    return bool(await COPIES.find(tx.connection, COPIES.keyed([(artifact_id, worker_id)]), ready))


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
