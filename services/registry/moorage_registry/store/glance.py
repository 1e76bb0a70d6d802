"""One look at everything that time brings about, or that a lost notification would leave lying: one statement."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from moorage_common.core.states import InstanceState, WorkerState
from moorage_registry.core.transitions import HOLDS_CLAIM, NOMINATED

_AWAY = sorted((NOMINATED | HOLDS_CLAIM) - {InstanceState.UNREACHABLE, InstanceState.STOPPING})

_LOOK = """
SELECT
    EXISTS (SELECT FROM outbox) AS unsequenced,
    (SELECT revision FROM watch_state WHERE id = 1) AS revision,
    EXISTS (
        SELECT FROM worker_leases JOIN workers ON workers.id = worker_leases.worker_id
        WHERE worker_leases.expires_at < clock_timestamp() AND workers.state <> $1
    ) AS lapsed,
    EXISTS (
        SELECT FROM workers JOIN instances ON instances.worker_id = workers.id
        WHERE workers.state = $1 AND (instances.state = ANY ($2) OR NOT instances.retiring)
    ) OR EXISTS (
        SELECT FROM workers JOIN instances ON instances.subordinates @> ARRAY[workers.id]
        WHERE instances.subordinates <> '{}' AND workers.state = $1
            AND (instances.state = ANY ($2) OR NOT instances.retiring)
    ) AS stranded,
    EXISTS (SELECT FROM workers WHERE drain_started_at IS NOT NULL AND drain_completed_at IS NULL) AS draining
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """What there is to do."""

    unsequenced: bool
    """The outbox has changes without a revision."""
    revision: int
    """The newest revision."""
    lapsed: bool
    """Leases have lapsed whose workers are not UNREACHABLE yet."""
    stranded: bool
    """Instances stand on UNREACHABLE workers, and may have to be moved or replaced."""
    draining: bool
    """Workers are being drained."""


async def look(connection: AsyncConnection) -> Glance:
    """Looks once."""
    result = await connection.exec_driver_sql(
        _LOOK, (WorkerState.UNREACHABLE.value, [state.value for state in _AWAY])
    )
    return Glance(**result.one()._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
