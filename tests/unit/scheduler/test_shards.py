"""vLLM on one worker and on several: cards of 100 bytes, of which it takes 90."""

from dataclasses import replace

import pytest

from moorage_common.core.placement import (
    MemoryPart,
    ModelCategory,
    PlacementMode,
    PlacementReason,
    PlacementStrategy,
    Verdict,
)
from moorage_common.core.states import AcceleratorKind, EngineKind
from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.request import Selection, VllmOptions, tenant_of


@pytest.fixture
def worker(paper):
    def worker(name, *sizes, **others):
        return paper.Worker(name=name, gpus=sizes, engine=EngineKind.VLLM, **others)

    return worker


@pytest.fixture
def place(paper):
    """Places a model of so many bytes in four blocks, with four heads."""

    def place(weights, *workers, tenants=(), model=None, **request):
        sizes = {"attention_head_count": 4, **(model or {})}
        return paper.place(
            paper.snapshot(*workers, tenants=tenants),
            paper.request(
                facts=paper.shards(weight_bytes=weights, **sizes), engine=EngineKind.VLLM, **request
            ),
        )

    return place


def on_cards(placement):
    return {claim.pool: claim.size_bytes for claim in placement.claims if claim.pool != RAM}


class TestClaims:
    @pytest.mark.rule("utilization", "vllm-needs")
    def test_a_part_of_the_whole_card_is_taken_and_every_byte_accounted_for(self, worker, place):
        placement = place(40, worker("a", 100)).placement
        (claim,) = [c for c in placement.claims if c.pool != RAM]
        assert claim.size_bytes == 90
        assert claim.parts == {MemoryPart.WEIGHTS: 40, MemoryPart.CACHE_ROOM: 50}
        assert claim.layers == placement.total_layers == 5

    @pytest.mark.rule("utilization")
    def test_that_part_must_be_free(self, worker, place):
        for used, fits in ((10, True), (11, False)):
            outcome = place(40, worker("a", 100), tenants=[("x", "a", {"a/gpu0": used})])
            assert bool(outcome.placement) is fits
        (why,) = outcome.explanation.workers[0].rejections
        assert (why.reason, why.needed, why.available) == (
            PlacementReason.INSUFFICIENT_GPU_MEMORY,
            "90",
            "89",
        )
        assert "gpu_memory_utilization 0.89 would fit" in why.remedy
        less = VllmOptions(gpu_memory_utilization=0.89)
        assert place(40, worker("a", 100), tenants=[("x", "a", {"a/gpu0": 11})], vllm=less).placement

    @pytest.mark.rule("embeddings")
    @pytest.mark.parametrize("category", [ModelCategory.EMBEDDING, ModelCategory.RERANKER])
    def test_what_makes_no_text_claims_what_it_needs(self, worker, place, category):
        # Real sizes, for the engine's own context on a card is counted here.
        card, weights = 24 * 2**30, 2**30
        placement = place(weights, worker("a", card), category=category).placement
        (size,) = on_cards(placement).values()
        assert weights < size < card // 4
        assert on_cards(place(weights, worker("a", card)).placement)["a/gpu0"] > 0.89 * card

    def test_ram_that_is_short_leaves_a_worker_out(self, paper, worker, place):
        model = {"ram_compute_bytes": 50}
        fleet = [worker("a", 100, ram=49), worker("b", 100, ram=50)]
        assert place(40, *fleet, model=model).placement.worker == "b"
        outcome = place(40, fleet[0], model=model)
        (why,) = outcome.explanation.workers[0].rejections
        assert why.reason is outcome.explanation.reason_counts[0].reason is PlacementReason.INSUFFICIENT_RAM
        assert (why.needed, why.available) == ("50", "49")


class TestShapes:
    @pytest.mark.rule("vllm-order")
    def test_one_gpu_then_the_fewest_of_one_worker_then_several(self, worker, place):
        one, four = worker("one", 100), worker("four", *[100] * 4)
        pair = [worker("left", 100), worker("right", 100)]
        for weights, fleet, mode, gpus in (
            (90, [one, four, *pair], PlacementMode.ONE_GPU, 1),
            (180, [one, four, *pair], PlacementMode.SEVERAL_GPUS, 2),
            (360, [one, four, *pair], PlacementMode.SEVERAL_GPUS, 4),
            (180, [one, *pair], PlacementMode.DISTRIBUTED, 2),
        ):
            placement = place(weights, *fleet).placement
            assert (placement.mode, len(on_cards(placement))) == (mode, gpus)

    @pytest.mark.rule("tensor-divides")
    def test_layers_are_cut_as_the_heads_divide_else_dealt_out(self, worker, place):
        """Two GPUs cut four heads; three cannot, and take a third of the blocks each."""
        blocks = {"attention_head_count": 4}
        assert place(180, worker("a", *[100] * 3), model=blocks).placement.parallel == ParallelShape(tensor=2)
        odd = {"attention_head_count": 9}
        assert place(180, worker("a", *[100] * 2), model=odd).placement.parallel == ParallelShape(pipeline=2)
        assert place(270, worker("a", *[100] * 3), model=odd).placement.parallel == ParallelShape(tensor=3)

    @pytest.mark.rule("smallest-card")
    def test_the_smallest_card_bounds_all(self, worker, place):
        assert place(108, worker("a", 100, 60)).placement
        assert place(110, worker("a", 100, 60)).placement is None
        assert place(110, worker("a", 100, 100, 60)).placement
        assert on_cards(place(110, worker("a", 100, 100, 60)).placement).keys() == {"a/gpu0", "a/gpu1"}

    @pytest.mark.rule("data-copies")
    def test_each_copy_holds_everything(self, worker, place):
        two = VllmOptions(data_parallel_size=2)
        placement = place(90, worker("a", 100, 100), vllm=two).placement
        assert placement.parallel == ParallelShape(data=2)
        assert [c.parts[MemoryPart.WEIGHTS] for c in placement.claims if c.pool != RAM] == [90, 90]
        assert place(91, worker("a", 100, 100), vllm=two).placement is None
        placement = place(180, worker("a", *[100] * 4), vllm=two).placement
        assert placement.parallel == ParallelShape(tensor=2, data=2)

    @pytest.mark.rule("shape-arithmetic")
    @pytest.mark.parametrize("shape", [(4, 1, 1), (1, 4, 1), (2, 2, 1), (2, 1, 2), (1, 2, 2), (1, 1, 4)])
    def test_sizes_that_are_asked_for_are_honoured(self, worker, place, shape):
        tensor, pipeline, data = shape
        options = VllmOptions(
            tensor_parallel_size=tensor, pipeline_parallel_size=pipeline, data_parallel_size=data
        )
        for fleet in ([worker("a", *[100] * 8)], [worker(n, 100, 100) for n in "abc"]):
            placement = place(40, *fleet, vllm=options).placement
            assert placement.parallel == ParallelShape(tensor=tensor, pipeline=pipeline, data=data)
            assert len(on_cards(placement)) == 4

    @pytest.mark.rule("shape-arithmetic", "tensor-divides")
    def test_or_refused_with_the_arithmetic(self, worker, place):
        explanation = place(40, worker("a", *[100] * 8), vllm=VllmOptions(tensor_parallel_size=3)).explanation
        assert explanation.verdict is Verdict.NEVER_FITS
        (why,) = explanation.rejections
        assert why.reason is PlacementReason.PARALLEL_SIZE_IMPOSSIBLE
        assert "3" in why.available
        assert "4" in why.available
        assert why.remedy


class TestSeveralWorkers:
    @pytest.mark.rule("any-shape")
    def test_three_stages_over_two_and_one_gpus(self, worker, place):
        fleet = [worker("one", 100), worker("two", 100, 100)]
        placement = place(270, *fleet, model={"attention_head_count": 8, "block_count": 6}).placement
        assert (placement.worker, placement.subordinates) == ("two", ("one",))
        assert placement.parallel == ParallelShape(pipeline=3)
        assert on_cards(placement).keys() == {"two/gpu0", "two/gpu1", "one/gpu0"}

    @pytest.mark.rule("vllm-primary")
    def test_who_gives_most_gpus_leads_then_who_has_most_free_memory(self, worker, place):
        model = {"attention_head_count": 1, "block_count": 6}
        large = [worker("a", 100, 100), worker("b", 200)]
        assert place(270, *large, model=model).placement.worker == "a"
        even = [worker("a", 100), worker("b", 110)]
        for seed in "abcdef":
            assert place(180, *even, model=model, seed=seed).placement.worker == "b"

    def test_whom_the_user_names_leads_or_nobody(self, worker, place):
        fleet = [worker("a", 100, 100), worker("b", 100), worker("cpu")]
        model = {"attention_head_count": 1, "block_count": 6}
        placement = place(270, *fleet, model=model, selection=Selection(primary_worker="b")).placement
        assert (placement.worker, placement.subordinates) == ("b", ("a",))
        assert place(270, *fleet, model=model, selection=Selection(primary_worker="cpu")).placement is None

    def test_a_layer_is_cut_within_a_worker_if_it_can_be(self, worker, place):
        """Four GPUs in two pairs: cut in two within each pair, dealt out over the pairs."""
        placement = place(360, worker("a", 100, 100), worker("b", 100, 100)).placement
        assert placement.parallel == ParallelShape(tensor=2, pipeline=2)
        single = [worker(n, 100) for n in "abcd"]
        placement = place(360, *single, model={"block_count": 2}).placement
        assert placement.parallel.tensor > 1

    def test_as_few_workers_as_will_do(self, worker, place):
        fleet = [*(worker(n, 100) for n in "abc"), worker("pair", 100, 100)]
        placement = place(270, *fleet, model={"attention_head_count": 1, "block_count": 3}).placement
        assert (placement.worker, len(placement.subordinates)) == ("pair", 1)

    @pytest.mark.rule("one-kind")
    def test_cards_of_one_kind(self, worker, place):
        fleet = [worker("cuda", 100), worker("rocm", 100, kind=AcceleratorKind.ROCM)]
        assert place(180, *fleet).placement is None
        placement = place(180, *fleet, worker("also", 100)).placement
        assert {placement.worker, *placement.subordinates} == {"cuda", "also"}

    def test_whose_build_cannot_work_with_others_stays_out(self, worker, place):
        hermit = worker("hermit", 100, distributes=False)
        assert place(180, worker("a", 100), hermit).placement is None
        placement = place(180, worker("a", 100), hermit, worker("b", 100)).placement
        assert {placement.worker, *placement.subordinates} == {"a", "b"}
        assert place(90, hermit).placement

    def test_forbidden_they_are_not_considered(self, worker, place):
        outcome = place(180, worker("a", 100), worker("b", 100), selection=Selection(may_distribute=False))
        assert outcome.placement is None
        assert outcome.explanation.verdict is Verdict.NEVER_FITS

    def test_every_leader_is_listed_once(self, worker, place):
        fleet = [worker(n, 100, 100) for n in "ab"]
        explanation = place(360, *fleet).explanation
        listed = [item.worker for item in explanation.workers]
        assert len(listed) == len(set(listed))

    @pytest.mark.rule("one-distributed-vllm")
    def test_it_is_exclusive_and_one_on_one_worker_is_not(self, worker, place):
        several = place(180, worker("a", 100), worker("b", 100)).placement
        tenant = tenant_of("models/m", several)
        assert tenant.exclusive
        assert set(tenant.members) == {"a", "b"}
        assert not tenant_of("models/m", place(180, worker("a", 100, 100)).placement).exclusive

    def test_the_strategy_chooses_among_its_cards(self, paper, worker, place):
        busy = worker("a", *[200] * 3)
        tenants = [("models/x", "a", {"a/gpu1": 10})]
        for strategy in PlacementStrategy:
            placement = place(
                40, busy, tenants=tenants, strategy=strategy, vllm=VllmOptions(gpu_memory_utilization=0.5)
            ).placement
            (chosen,) = on_cards(placement)
            assert (chosen == "a/gpu1") is (strategy is PlacementStrategy.BINPACK)

    def test_order_of_workers_and_cards_changes_nothing(self, paper, worker):
        workers = [worker("a", 100, 100), worker("b", 100, 90, 100), worker("c", 100)]
        request = paper.request(
            facts=paper.shards(weight_bytes=300, attention_head_count=4), engine=EngineKind.VLLM
        )
        expected = paper.place(paper.snapshot(*workers), request)
        assert expected.placement
        fleet = paper.fleet()
        for each, condition in (w.parts() for w in reversed(workers)):
            fleet.put_worker(replace(each, accelerators=each.accelerators[::-1]), condition)
        assert paper.place(fleet.snapshot(), request) == expected

    def test_nor_what_is_told_of_cards_that_are_as_short_as_others(self, paper, worker):
        each = worker("a", 50, 0, 0, 50, foreign=(("a/gpu3", 10),))
        request = paper.request(
            facts=paper.shards(weight_bytes=400, attention_head_count=4), engine=EngineKind.VLLM
        )
        told = []
        for turn in (1, -1):
            found, condition = each.parts()
            fleet = paper.fleet()
            fleet.put_worker(replace(found, accelerators=found.accelerators[::turn]), condition)
            told.append(paper.place(fleet.snapshot(), request).explanation)
        assert told[0] == told[1]
