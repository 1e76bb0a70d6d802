"""What agents say of copies: instances that waited for them go on, bytes that are gone are pulled again.

Many reports cost as many statements as one. Rows are locked in the order of everything else here: instances,
artifacts, copies, downloads, leases.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from moorage_common.core.errors import ErrorReason, NotFound
from moorage_common.core.names import artifact_copy_name
from moorage_common.core.states import CopyState, InstanceState, PullState
from moorage_registry.core.instances import apply
from moorage_registry.core.records import Artifact, ArtifactCopy, Instance, Json
from moorage_registry.core.transitions import InstanceEvent
from moorage_registry.store import schema, workers
from moorage_registry.store.copies import Pair, complete_downloads, lock_artifacts, queue_pulls
from moorage_registry.store.database import Overtaken, Transaction
from moorage_registry.store.members import loads_at
from moorage_registry.store.tables import ARTIFACTS, COPIES, INSTANCES


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """What an agent says of a copy."""

    artifact_id: str
    worker_id: str
    lease_id: str
    """Of the worker, as the agent knows it."""
    state: CopyState
    done_bytes: int
    bytes_per_second: int
    error: Json | None = None
    error_reason: str = ""

    @property
    def pair(self) -> Pair:
        """The copy's key."""
        return self.artifact_id, self.worker_id


async def take(tx: Transaction, reports: Sequence[CopyReport]) -> list[ArtifactCopy]:
    """Takes reports, all of them or none. Returns the copies as they are now; of several of one, the last counts.

    Raises:
        NotFound: A copy is no longer wanted.
        Aborted: A worker's lease was replaced (LEASE_STALE).
    """
    said = {report.pair: report for report in reports}
    ready = {pair for pair, what in said.items() if what.state is CopyState.READY}
    served = await _lock_served(tx, ready)
    lost = await _ready(tx, said.keys() - ready)
    failed = {what.artifact_id for what in said.values() if what.error_reason}
    artifacts = await lock_artifacts(tx, failed | {artifact_id for artifact_id, _ in lost})
    copies = await _lock_copies(tx, said.keys())
    now = {instance.uid for instance, _ in await _waiting(tx.connection, ready)}
    if now - {instance.uid for instance in served.waiting}:
        # One was nominated before the copies were locked, and saw them on their way.
        raise Overtaken
    after = {pair: _reported(copies[pair], what) for pair, what in said.items()}
    changed = [copy for pair, copy in after.items() if copy != copies[pair]]
    # Of what an agent says of a copy its own node need not be told.
    saved = await COPIES.save(tx, changed, measured=True)
    after |= {(copy.artifact_id, copy.worker_id): copy for copy in saved}
    moves = [apply(i, InstanceEvent.ARTIFACT_READY, now=tx.now, error=None) for i in served.complete]
    await INSTANCES.save(tx, [move.after for move in moves])
    await complete_downloads(tx, {artifact_id for artifact_id, _ in ready})
    await _pull_again(tx, artifacts, said, lost)
    await workers.check_leases(tx, {what.worker_id: what.lease_id for what in said.values()})
    return [after[report.pair] for report in reports]


def _reported(copy: ArtifactCopy, what: CopyReport) -> ArtifactCopy:
    ready = what.state is CopyState.READY
    return replace(
        copy,
        state=what.state,
        done_bytes=copy.size_bytes if ready else min(what.done_bytes, copy.size_bytes),
        bytes_per_second=0 if ready else what.bytes_per_second,
        error=None if ready else what.error,
    )


@dataclass(frozen=True, slots=True)
class _Served:
    """Instances that wait for copies."""

    waiting: Sequence[Instance]
    complete: Sequence[Instance]
    """Those that wait for no other copy."""


async def _lock_served(tx: Transaction, ready: Collection[Pair]) -> _Served:
    found = await _waiting(tx.connection, ready)
    uids = [instance.uid for instance, _ in found]
    artifact_of = {instance.uid: artifact_id for instance, artifact_id in found}
    still = schema.instances.c.state == InstanceState.FETCHING
    waiting = await INSTANCES.lock(tx, schema.instances.c.uid.in_(uids), still) if found else []
    needed = {i.uid: {(artifact_of[i.uid], worker) for worker in i.loading_workers} for i in waiting}
    elsewhere = set().union(*needed.values()) - set(ready)
    there = await _ready(tx, elsewhere) | set(ready)
    return _Served(waiting, [instance for instance in waiting if needed[instance.uid] <= there])


async def _waiting(connection: AsyncConnection, ready: Collection[Pair]) -> list[tuple[Instance, str]]:
    """Reads the instances that wait for one of these copies, each with its artifact's id."""
    if not ready:
        return []
    models, table = schema.models, schema.instances
    artifact_ids, worker_ids = ({pair[place] for pair in ready} for place in (0, 1))
    statement = select(models.c.id, models.c.artifact_id).where(models.c.artifact_id.in_(artifact_ids))
    artifact_of = {row.id: row.artifact_id for row in await connection.execute(statement)}
    found = await INSTANCES.find(
        connection,
        loads_at(worker_ids),
        table.c.state == InstanceState.FETCHING,
        table.c.model_id.in_(artifact_of.keys()),
    )
    return [
        (instance, artifact_of[instance.model_id])
        for instance in found
        if any((artifact_of[instance.model_id], worker) in ready for worker in instance.loading_workers)
    ]


async def _ready(tx: Transaction, pairs: Collection[Pair]) -> set[Pair]:
    """Returns those copies that are ready, as far as anybody knows before now."""
    if not pairs:
        return set()
    is_ready = schema.artifact_copies.c.state == CopyState.READY
    found = await COPIES.find(tx.connection, COPIES.keyed(pairs), is_ready)
    return {(copy.artifact_id, copy.worker_id) for copy in found}


async def _lock_copies(tx: Transaction, pairs: Collection[Pair]) -> dict[Pair, ArtifactCopy]:
    found = {(copy.artifact_id, copy.worker_id): copy for copy in await COPIES.lock(tx, COPIES.keyed(pairs))}
    for pair in pairs:
        if pair not in found:
            name = artifact_copy_name(*pair)
            raise NotFound(f"there is no {name}", resource=name)
    return found


async def _pull_again(
    tx: Transaction,
    artifacts: Mapping[str, Artifact],
    said: Mapping[Pair, CopyReport],
    lost: Collection[Pair],
) -> None:
    gone = {a for (a, _), what in said.items() if what.error_reason == ErrorReason.BLOB_NOT_FOUND}
    complete = [artifacts[a] for a in sorted(gone) if artifacts[a].pull_state is PullState.COMPLETE]
    await ARTIFACTS.save(
        tx, [replace(each, pull_state=PullState.QUEUED, pull_done_bytes=0) for each in complete]
    )
    await queue_pulls(tx, [artifacts[a] for a in sorted({a for a, _ in lost} - gone)])
