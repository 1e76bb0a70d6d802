"""The exact placement on the worker that was chosen."""

from moorage_common.core.placement import PlacementStrategy
from moorage_scheduler.core.arrange import Gpu, claims_of, share_out, unified_claims
from moorage_scheduler.core.candidates import Candidates
from moorage_scheduler.core.codes import ACCELERATORS
from moorage_scheduler.core.request import Claim, Placement


def arrange(candidates: Candidates, row: int, strategy: PlacementStrategy, *, score: float) -> Placement:
    """Returns where the layers go, and what is claimed, on one candidate."""
    slot = int(candidates.offer.slots[row])
    units = int(candidates.fits.gpu_units[row])
    return Placement(
        worker=candidates.snapshot.rows.at(slot).name,
        claims=_claims(candidates, row, units, strategy),
        gpu_layers=units,
        total_layers=candidates.demand.total_units,
        context_length=candidates.demand.profile.context_length,
        score=score,
    )


def _claims(candidates: Candidates, row: int, units: int, strategy: PlacementStrategy) -> tuple[Claim, ...]:
    shared_kind = ACCELERATORS.member(int(candidates.offer.kinds[row, 0]))
    if shared_kind is not None:
        return unified_claims(candidates.demand, units, shared_kind)
    gpus = _gpus(candidates, row) if units else ()
    return claims_of(
        candidates.demand, share_out(candidates.demand, gpus, units, strategy, candidates.request.seed)
    )


def _gpus(candidates: Candidates, row: int) -> tuple[Gpu, ...]:
    columns, offer = candidates.snapshot.columns, candidates.offer
    slot = int(offer.slots[row])
    worker = candidates.snapshot.rows.at(slot)
    replicas = candidates.snapshot.replicas.get(candidates.request.model, {})
    return tuple(
        Gpu(
            uuid=card.uuid,
            kind=card.kind,
            capacity=int(columns.capacity[slot, position]),
            available=int(offer.available[row, position]),
            replicas=replicas.get((worker.name, card.uuid), 0),
            tenants=int(columns.tenants[slot, position]),
        )
        for position, card in enumerate(worker.accelerators, start=1)
        if offer.kinds[row, position]
    )
