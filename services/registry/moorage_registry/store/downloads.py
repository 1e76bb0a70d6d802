"""Downloads: artifacts that somebody wants on chosen workers ahead of any deployment."""

from dataclasses import replace

from sqlalchemy import delete, insert, select

from moorage_common.core.errors import NotFound
from moorage_common.core.ids import new_uid
from moorage_common.core.states import DownloadState
from moorage_registry.core.records import Download
from moorage_registry.store import copies, schema
from moorage_registry.store.database import Overtaken, Transaction
from moorage_registry.store.lookups import lock_download
from moorage_registry.store.tables import ARTIFACTS, COPIES, DOWNLOADS

_TABLE = schema.downloads
_OPEN = (DownloadState.RESOLVING, DownloadState.FETCHING)


async def create(tx: Transaction, download: Download) -> Download:
    """Stores a download and queues its source, or returns the one that is under way for the same.

    Raises:
        NotFound: One of the workers does not exist.
    """
    same = await DOWNLOADS.lock(
        tx,
        _TABLE.c.source == download.source,
        _TABLE.c.workers == download.workers,
        _TABLE.c.state.in_(_OPEN),
    )
    if same:
        return same[0]
    await _check_workers(tx, download.workers)
    [stored] = await DOWNLOADS.insert(tx, [download])
    await tx.execute(
        insert(schema.resolutions).values(
            id=new_uid(),
            source=stored.source,
            download_id=stored.id,
            failed_attempts=0,
            not_before=tx.now,
        )
    )
    return stored


async def cancel(tx: Transaction, download_id: str) -> Download:
    """Cancels a download, and drops what nothing else wants. One that is over stays as it is.

    Raises:
        NotFound: No such download.
    """
    peeked = await DOWNLOADS.find(tx.connection, _TABLE.c.id == download_id)
    pairs = {(d.artifact_id, worker) for d in peeked if d.artifact_id for worker in d.workers}
    if pairs:
        await ARTIFACTS.lock(tx, schema.artifacts.c.id.in_({artifact for artifact, _ in pairs}))
        await COPIES.lock(tx, COPIES.keyed(pairs))
    download = await lock_download(tx, download_id)
    if download.state not in _OPEN:
        return download
    if download.artifact_id and not pairs:
        # It was resolved before it was locked.
        raise Overtaken
    [download] = await DOWNLOADS.save(tx, [replace(download, state=DownloadState.CANCELLED)])
    await tx.execute(delete(schema.resolutions).where(schema.resolutions.c.download_id == download_id))
    await copies.drop_unwanted(tx, pairs)
    return download


async def _check_workers(tx: Transaction, ids: list[str]) -> None:
    statement = select(schema.workers.c.id).where(schema.workers.c.id.in_(ids))
    known = set((await tx.execute(statement)).scalars())
    missing = [f"workers/{worker_id}" for worker_id in ids if worker_id not in known]
    if missing:
        raise NotFound(f"there is no {', no '.join(missing)}", resource=missing[0])
