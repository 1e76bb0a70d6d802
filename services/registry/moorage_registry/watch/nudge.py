"""Wakes the sequencer and the tail for what a lost notification left lying."""

from moorage_registry.lookout import Lookout
from moorage_registry.store.database import Database
from moorage_registry.watch.tail import EventTail


async def nudge(lookout: Lookout, database: Database, tail: EventTail) -> None:
    """Does so for ever."""
    async for seen in lookout.looks():
        if seen is None:
            continue
        if seen.unsequenced:
            database.committed.set()
        tail.heed(seen.revision)
