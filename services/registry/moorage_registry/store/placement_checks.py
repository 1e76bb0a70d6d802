"""What a nomination or a binding must meet, whichever it is."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import func, select

from moorage_common.core.errors import (
    ErrorReason,
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    NotFound,
)
from moorage_common.core.names import model_name, worker_name
from moorage_common.core.states import EngineKind, WorkerState
from moorage_registry.core.engines import engine_of, every_member_loads
from moorage_registry.core.records import Worker
from moorage_registry.store import schema
from moorage_registry.store.copies import Pair
from moorage_registry.store.database import Transaction


@dataclass(frozen=True, slots=True)
class Served:
    """What instances of a model load, and with what."""

    artifact_id: str | None = None
    """None: its source is not resolved yet."""
    engine: EngineKind | None = None
    """None: not known."""

    def by(self, planned: EngineKind | None) -> "Served":
        """Returns the same, by the engine that a placement is for where nothing else is known."""
        return self if self.engine else replace(self, engine=planned)

    def pairs(self, workers: Sequence[str]) -> set[Pair]:
        """Returns the copies that an instance on workers loads, the primary first."""
        loading = workers if every_member_loads(self.engine) else workers[:1]
        return {(self.artifact_id or "", worker) for worker in loading}


async def read_served(tx: Transaction, model_ids: Collection[str]) -> Mapping[str, Served]:
    """Reads what instances of models load, and with what, by the models' ids. What is not known is nothing."""
    models, artifacts = schema.models, schema.artifacts
    formats = select(func.jsonb_object_keys(artifacts.c.facts)).correlate(artifacts).scalar_subquery()
    statement = (
        select(models.c.id, models.c.artifact_id, models.c.engine, func.array(formats).label("formats"))
        .join(artifacts, artifacts.c.id == models.c.artifact_id, isouter=True)
        .where(models.c.id.in_(list(model_ids)))
    )
    found = {
        row.id: Served(row.artifact_id, engine_of(row.engine, row.formats))
        for row in await tx.execute(statement)
    }
    return defaultdict(Served, found)


def check_workers(ids: Collection[str], workers: Mapping[str, Worker]) -> None:
    """Checks that workers take instances.

    Raises:
        NotFound: One does not exist.
        FailedPrecondition: One is not READY (WORKER_NOT_READY), or is cordoned (WORKER_CORDONED).
    """
    for worker_id in ids:
        _check_worker(worker_id, workers.get(worker_id))


def _check_worker(worker_id: str, worker: Worker | None) -> None:
    name = worker_name(worker_id)
    if worker is None:
        raise NotFound(f"there is no {name}", resource=name)
    if worker.state is not WorkerState.READY:
        raise FailedPrecondition(
            f"{name} is {worker.state.value}",
            reason=ErrorReason.WORKER_NOT_READY,
            metadata={"worker": name, "state": worker.state.value},
        )
    if worker.cordoned:
        raise FailedPrecondition(
            f"{name} is cordoned: it takes no new instances",
            reason=ErrorReason.WORKER_CORDONED,
            remedy=f"Uncordon {name}, or choose another worker.",
            metadata={"worker": name},
        )


def check_resolved(model_id: str, served: Served) -> None:
    """Checks that there is an artifact to wait for.

    Raises:
        FailedPrecondition: There is none yet (MODEL_UNRESOLVED).
    """
    if served.artifact_id is None:
        raise FailedPrecondition(
            f"{model_name(model_id)} has no artifact yet", reason=ErrorReason.MODEL_UNRESOLVED
        )


def check_copies(model_id: str, needed: Collection[Pair], ready: Collection[Pair]) -> None:
    """Checks that the artifact is there wherever it is loaded.

    Raises:
        FailedPrecondition: It is not (ARTIFACT_NOT_READY); every worker is listed.
    """
    missing = [worker_name(worker) for artifact, worker in sorted(needed) if (artifact, worker) not in ready]
    if missing:
        raise FailedPrecondition(
            f"the artifact of {model_name(model_id)} is not ready on {', '.join(missing)}",
            reason=ErrorReason.ARTIFACT_NOT_READY,
            remedy="Nominate the instance first; it is FETCHED once the artifact is there.",
            violations=[FieldViolation(name, "has no whole copy of the artifact") for name in missing],
        )


def check_engine(model_id: str, planned: EngineKind | None, served: Served) -> None:
    """Checks that a placement is for the engine that serves the model.

    Raises:
        InvalidArgument: It is for another.
    """
    if planned and served.engine and planned is not served.engine:
        what = f"is {planned.value}, but {model_name(model_id)} is served by {served.engine.value}"
        violation = FieldViolation("placement.engine", what)
        raise InvalidArgument(f"the placement's engine {what}", violations=[violation])
