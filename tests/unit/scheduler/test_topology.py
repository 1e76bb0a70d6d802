"""GPUs that are close to each other go first, where layers are cut over several."""

import pytest

from moorage_common.core.placement import PlacementStrategy
from moorage_common.core.states import EngineKind
from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.core.request import GpuWish, Selection, VllmOptions

WHOLE = VllmOptions(gpu_memory_utilization=1.0)

pytestmark = pytest.mark.rule("topology")


@pytest.fixture
def cut(paper):
    """Places a model of 40 bytes for vLLM; gives the outcome."""

    def cut(*workers, tenants=(), options=WHOLE, **request):
        snapshot = paper.snapshot(*workers, tenants=tenants)
        facts = paper.shards(attention_head_count=8)
        return paper.place(
            snapshot, paper.request(facts=facts, engine=EngineKind.VLLM, vllm=options, **request)
        )

    return cut


def box(paper, name="w", gpus=(30,) * 4, **groups):
    return paper.Worker(name=name, gpus=gpus, engine=EngineKind.VLLM, **groups)


def cards(outcome):
    return {claim.pool for claim in outcome.placement.claims if claim.pool != RAM}


def part(explanation, worker):
    found = next(item for item in explanation.workers if item.worker == worker)
    return next(part.value for part in found.score_parts if part.scorer == "topology")


def test_linked_cards_then_cards_on_one_switch(paper, cut):
    pairs = {"links": ("", "x", "", "x"), "switches": ("p", "", "p", "")}
    for seed in map(str, range(6)):
        assert cards(cut(box(paper, **pairs), seed=seed)) == {"w/gpu1", "w/gpu3"}
        assert cards(cut(box(paper, switches=pairs["switches"]), seed=seed)) == {"w/gpu0", "w/gpu2"}


def test_a_group_that_is_too_small_or_too_full_does_not_do(paper, cut):
    links = ("x", "x", "y", "y")
    held = [("m", "w", {"w/gpu0": 5})]
    for seed in map(str, range(6)):
        assert cards(cut(box(paper, links=links), tenants=held, seed=seed)) == {"w/gpu2", "w/gpu3"}
        held_too = [*held, ("m", "w", {"w/gpu2": 5})]
        assert cards(cut(box(paper, links=links), tenants=held_too, seed=seed)) == {"w/gpu1", "w/gpu3"}


def test_of_several_groups_the_one_that_the_strategy_prefers(paper, cut):
    used = [("other", "w", {"w/gpu2": 2}), ("other", "w", {"w/gpu3": 2})]
    quarter = VllmOptions(gpu_memory_utilization=0.8)
    half_full = {"tenants": used, "options": quarter}
    links = box(paper, links=("x", "x", "y", "y"))
    assert cards(cut(links, strategy=PlacementStrategy.BINPACK, **half_full)) == {"w/gpu2", "w/gpu3"}
    assert cards(cut(links, strategy=PlacementStrategy.SPREAD, **half_full)) == {"w/gpu0", "w/gpu1"}


def test_is_a_part_of_the_score(paper, cut):
    linked, switched = box(paper, "linked", links=("x",) * 4), box(paper, "switched", switches=("p",) * 4)
    apart, alone = box(paper, "apart"), box(paper, "alone", gpus=(60,))
    outcome = cut(apart, switched, linked)
    assert [(w.worker, part(outcome.explanation, w.worker)) for w in outcome.explanation.workers] == [
        ("linked", 1.0), ("switched", 0.5), ("apart", 0.0),
    ]  # fmt: skip
    assert part(cut(alone).explanation, "alone") == 1.0


def test_workers_of_a_team_give_what_is_linked(paper, cut):
    links = ("", "x", "x")
    outcome = cut(*(box(paper, name, (12,) * 3, links=links) for name in "ab"))
    assert outcome.placement.subordinates
    assert cards(outcome) == {"a/gpu1", "a/gpu2", "b/gpu1", "b/gpu2"}


def test_what_is_chosen_by_hand_is_used_whatever_is_linked(paper, cut):
    chosen = frozenset(GpuWish(worker="w", uuid=f"w/gpu{i}") for i in (0, 1))
    outcome = cut(box(paper, links=("", "x", "", "x")), selection=Selection(gpus=chosen))
    assert cards(outcome) == {"w/gpu0", "w/gpu1"}
