"""What a vLLM instance holds on the cards and workers that serve it."""

from collections.abc import Sequence
from itertools import groupby

from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.core.offer import Gpu
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.request import Claim
from moorage_scheduler.estimators.vllm import Card, VllmNeeds


def claims_of(needs: VllmNeeds, shape: ParallelShape, gpus: Sequence[Gpu]) -> tuple[Claim, ...]:
    """Returns the claims: RAM of each worker, the one that leads first, then GPUs in the order of their ranks.

    Args:
        needs: What the model needs.
        shape: How it is cut.
        gpus: The cards in the order of their ranks: worker by worker, the one that leads first.
    """
    leader = gpus[0].worker
    groups = [(worker, list(group)) for worker, group in groupby(gpus, key=lambda gpu: gpu.worker)]
    cards = [_card_claim(needs, shape, rank, gpu) for rank, gpu in enumerate(gpus)]
    ram = [
        Claim(
            worker=worker,
            pool=RAM,
            parts=needs.on_host(shape, ranks=len(group), leads=worker == leader).by_part(),
            layers=0,
        )
        for worker, group in groups
    ]
    return _merged([*ram, *cards])


def _card_claim(needs: VllmNeeds, shape: ParallelShape, rank: int, gpu: Gpu) -> Claim:
    stage = needs.stages(shape)[rank // shape.tensor % shape.pipeline]
    card = Card(total_bytes=gpu.total, kind=gpu.kind)
    return Claim(
        worker=gpu.worker,
        pool=gpu.pool,
        parts=needs.claim(shape, stage, card),
        # The output layer counts as one, and is the last stage's.
        layers=stage.blocks + stage.last,
    )


def _merged(claims: Sequence[Claim]) -> tuple[Claim, ...]:
    """One claim per pool: where CPU and GPU share a memory both parts are in one."""
    merged: dict[tuple[str, str], Claim] = {}
    for claim in claims:
        key = (claim.worker, claim.pool)
        before = merged.get(key)
        if before is None:
            merged[key] = claim
            continue
        parts = {
            part: before.parts.get(part, 0) + claim.parts.get(part, 0)
            for part in {**before.parts, **claim.parts}
        }
        merged[key] = Claim(
            worker=claim.worker, pool=claim.pool, parts=parts, layers=before.layers + claim.layers
        )
    return tuple(merged.values())
