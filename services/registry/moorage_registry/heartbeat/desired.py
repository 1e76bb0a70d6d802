"""What nodes should hold and run, read for all that look at the same time together.

A bulk call of a scheduler concerns a hundred nodes at once, and their streams all look what has become of them.
"""

from collections.abc import Sequence

from moorage.registry.v1 import worker_service_pb2 as pb
from moorage_registry.convert.assignments import assignments_to_proto
from moorage_registry.gathering import Gathering
from moorage_registry.store import assignments
from moorage_registry.store.database import Database

_MOST = 50
"""Nodes that are read together at most."""


class DesiredStates:
    """Reads desired states of nodes."""

    def __init__(self, database: Database) -> None:
        """Takes the store."""
        self._database = database
        self._gathering = Gathering(self._read, most=_MOST)

    async def of(self, worker_id: str) -> pb.DesiredNodeState:
        """Returns a node's desired state, as of some moment after this was called.

        Raises:
            Unavailable: The database is away.
        """
        return await self._gathering.ask(worker_id)

    async def _read(self, worker_ids: Sequence[str]) -> list[pb.DesiredNodeState]:
        async with self._database.read(snapshot=True) as connection:
            found = await assignments.read(connection, set(worker_ids))
        return assignments_to_proto([found[worker_id] for worker_id in worker_ids])
