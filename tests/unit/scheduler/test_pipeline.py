"""From a request to a placement and its explanation."""

from dataclasses import replace

import pytest

from moorage_common.core.placement import KvCacheType, MemoryPart, OperatingSystem, PlacementReason, Verdict
from moorage_common.core.states import AcceleratorKind, WorkerState
from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.core.pipeline import released
from moorage_scheduler.core.request import LlamaCppOptions, tenant_of

GIB = 2**30


def reasons(explanation, worker):
    (found,) = [item for item in explanation.workers if item.worker == worker]
    return [rejection.reason for rejection in found.rejections]


def counts(explanation):
    return {item.reason: item.worker_count for item in explanation.reason_counts}


class TestImpossible:
    def test_a_cache_that_llama_cpp_cannot_keep(self, paper):
        odd = paper.facts(key_length=80, value_length=80)
        request = paper.request(facts=odd, options=LlamaCppOptions(kv_cache_type=KvCacheType.Q8_0))
        placement, explanation = _both(paper.place(paper.snapshot(paper.Worker(name="w")), request))
        assert placement is None
        assert explanation.verdict is Verdict.NEVER_FITS
        assert [item.reason for item in explanation.rejections] == [PlacementReason.MODEL_UNSUPPORTED]
        assert explanation.summary == (
            "can go nowhere: needs heads of a multiple of 32 values, and it is 80 for keys, 80 for values."
            " llama.cpp cannot keep this model's cache as Q8_0: leave kv_cache_type at F16"
        )


class TestPlaced:
    def test_a_model_that_fits_one_gpu(self, paper):
        fleet = paper.snapshot(paper.Worker(name="cpu"), paper.Worker(name="gpu", gpus=(24 * GIB,)))
        placement, explanation = _both(paper.place(fleet, paper.request()))
        assert placement.worker == "gpu"
        assert (placement.gpu_layers, placement.total_layers) == (5, 5)
        assert [(claim.pool, claim.layers) for claim in placement.claims] == [(RAM, 0), ("gpu/gpu0", 5)]
        assert placement.claims[1].parts[MemoryPart.WEIGHTS] == 4 * GIB + 64 * 2**20
        assert explanation.verdict is Verdict.PLACED
        assert [(item.worker, item.rank) for item in explanation.workers] == [("gpu", 1), ("cpu", 2)]
        assert explanation.workers[0].score == placement.score
        assert explanation.summary.startswith("gpu: 5 layers on 1 GPU, ")

    @pytest.mark.parametrize(
        ("worker", "words"),
        [
            ({"gpus": (3 * GIB, 3 * GIB)}, "5 layers on 2 GPUs"),
            ({"gpus": (3 * GIB,)}, "3 of 5 layers on 1 GPU, the others in RAM"),
            ({}, "5 layers on the CPU"),
            ({"gpus": (1,), "unified": True}, "5 layers on the GPU's unified memory"),
        ],
    )
    def test_the_summary_says_where_layers_are(self, paper, worker, words):
        outcome = paper.place(paper.snapshot(paper.Worker(name="w", **worker)), paper.request())
        assert words in outcome.explanation.summary

    def test_the_context_is_the_one_that_the_claims_are_for(self, paper):
        fleet = paper.snapshot(paper.Worker(name="w"))
        assert paper.place(fleet, paper.request()).placement.context_length == 4096
        wish = paper.request(options=LlamaCppOptions(context_length=512))
        assert paper.place(fleet, wish).placement.context_length == 512

    def test_claims_of_earlier_decisions_count_for_later_ones(self, paper):
        snapshot = paper.snapshot(paper.Worker(name="w", gpus=(6 * GIB, 6 * GIB), ram=2 * GIB))
        cards = []
        for seed in "ab":
            placement = paper.place(snapshot, paper.request(seed=seed)).placement
            cards.append(placement.claims[1].pool)
            snapshot = snapshot.with_tenant(f"models/m/instances/{seed}", tenant_of("models/m", placement))
        assert sorted(cards) == ["w/gpu0", "w/gpu1"]
        assert paper.place(snapshot, paper.request()).placement is None

    def test_the_nominated_worker_is_kept_though_another_is_better(self, paper):
        fleet = paper.snapshot(paper.Worker(name="best", gpus=(24 * GIB,)), paper.Worker(name="fetched"))
        outcome = paper.place(fleet, paper.request(nominated_worker="fetched"))
        assert outcome.placement.worker == "fetched"
        assert [item.worker for item in outcome.explanation.workers] == ["best", "fetched"]

    def test_a_nominated_worker_that_became_too_small_is_left(self, paper):
        fleet = paper.snapshot(paper.Worker(name="other"), paper.Worker(name="fetched", ram=GIB))
        outcome = paper.place(fleet, paper.request(nominated_worker="fetched"))
        assert outcome.placement.worker == "other"
        left = released(outcome.explanation, "fetched")
        assert left.verdict is Verdict.NOT_NOW
        assert left.summary.startswith("fetched, for which it was fetched, can no longer take it")


@pytest.mark.rule("never-or-not-now")
class TestNotPlaced:
    def test_no_workers(self, paper):
        outcome = paper.place(paper.snapshot(), paper.request())
        assert outcome.placement is None
        assert outcome.explanation.verdict is Verdict.NEVER_FITS
        assert outcome.explanation.summary == "there are no workers"

    def test_too_large_for_every_worker_even_empty(self, paper):
        fleet = paper.snapshot(paper.Worker(name="w", ram=GIB))
        explanation = paper.place(fleet, paper.request()).explanation
        assert explanation.verdict is Verdict.NEVER_FITS
        assert counts(explanation) == {PlacementReason.INSUFFICIENT_RAM: 1}
        assert explanation.summary.startswith(
            "fits no worker, even an empty one: 1 worker short of RAM. w: needs"
        )

    @pytest.mark.parametrize(
        "change",
        [{"state": WorkerState.UNREACHABLE}, {"cordoned": True}, {"foreign": ((RAM, 63 * GIB),)}],
    )
    def test_what_passes_makes_it_not_now(self, paper, change):
        fleet = paper.snapshot(paper.Worker(name="w", **change))
        assert paper.place(fleet, paper.request()).explanation.verdict is Verdict.NOT_NOW

    def test_claims_make_it_not_now(self, paper):
        fleet = paper.snapshot(paper.Worker(name="w"), tenants=[("x", "w", {RAM: 63 * GIB})])
        assert paper.place(fleet, paper.request()).explanation.verdict is Verdict.NOT_NOW

    def test_what_the_machine_is_makes_it_never(self, paper):
        fleet = paper.snapshot(paper.Worker(name="w", system=None), paper.Worker(name="x", installed=False))
        assert paper.place(fleet, paper.request()).explanation.verdict is Verdict.NEVER_FITS

    def test_a_worker_that_is_away_and_too_small_is_no_hope(self, paper):
        fleet = paper.snapshot(paper.Worker(name="w", ram=GIB, cordoned=True))
        explanation = paper.place(fleet, paper.request()).explanation
        assert explanation.verdict is Verdict.NEVER_FITS
        assert counts(explanation) == {PlacementReason.WORKER_CORDONED: 1}

    def test_a_named_worker_that_does_not_exist_is_never_left_out_silently(self, paper):
        fleet = paper.snapshot(paper.Worker(name="w"))
        placement, explanation = _both(paper.place(fleet, paper.request(workers=["w", "ghost"])))
        assert placement is None
        assert explanation.verdict is Verdict.NEVER_FITS
        assert counts(explanation) == {PlacementReason.WORKER_UNKNOWN: 1}
        assert explanation.workers_considered == 2
        assert "register ghost" in explanation.summary
        assert [item.rank for item in explanation.workers] == [0, 1]

    def test_each_worker_says_everything_that_is_against_it(self, paper):
        away = paper.Worker(name="w", state=WorkerState.NOT_READY, cordoned=True, installed=False)
        explanation = paper.place(paper.snapshot(away), paper.request()).explanation
        assert reasons(explanation, "w") == [
            PlacementReason.WORKER_NOT_READY,
            PlacementReason.WORKER_CORDONED,
            PlacementReason.ENGINE_NOT_INSTALLED,
        ]
        assert counts(explanation) == {PlacementReason.WORKER_NOT_READY: 1}

    def test_by_hand_and_automatically_the_same_is_said_of_a_worker(self, paper):
        fleet = paper.snapshot(
            paper.Worker(name="mac", system=None, labels=(("pool", "x"),)),
            paper.Worker(name="linux", state=WorkerState.NOT_READY, labels=(("pool", "x"),)),
        )
        for wish in ({}, {"workers": ["mac", "linux"]}, {"labels": {"pool": "x"}}):
            explanation = paper.place(fleet, paper.request(**wish)).explanation
            assert reasons(explanation, "mac") == [PlacementReason.OS_UNSUPPORTED]
            assert reasons(explanation, "linux") == [PlacementReason.WORKER_NOT_READY]


@pytest.mark.rule("counts-first")
class TestExplainedWorkers:
    def test_the_closest_come_first_and_the_limit_holds(self, paper):
        fleet = paper.snapshot(
            *(paper.Worker(name=f"ram{i}", ram=i * GIB) for i in (1, 3, 2)),
            paper.Worker(name="off", cordoned=True),
            paper.Worker(name="far", cordoned=True, state=WorkerState.UNREACHABLE),
        )
        explanation = paper.place(fleet, paper.request()).explanation
        assert [item.worker for item in explanation.workers] == ["ram3", "ram2", "ram1", "off", "far"]
        few = paper.place(fleet, paper.request(), explain_workers=2).explanation
        assert few.workers == explanation.workers[:2]
        assert few.reason_counts == explanation.reason_counts

    def test_counts_are_of_all_workers_most_first(self, paper):
        fleet = paper.snapshot(
            *(paper.Worker(name=f"a{i}", cordoned=True) for i in range(3)),
            paper.Worker(name="b", system=None),
        )
        explanation = paper.place(fleet, paper.request()).explanation
        assert [(c.reason, c.worker_count) for c in explanation.reason_counts] == [
            (PlacementReason.WORKER_CORDONED, 3),
            (PlacementReason.OS_UNSUPPORTED, 1),
        ]


@pytest.mark.rule("remedy")
class TestRemedies:
    """What a remedy promises was tried: done, it makes the model fit."""

    def rejection(self, paper, worker, request, reason):
        explanation = paper.place(paper.snapshot(worker), request).explanation
        (found,) = [r for item in explanation.workers for r in item.rejections if r.reason is reason]
        return found

    def test_memory_says_how_much_is_needed_and_there(self, paper):
        worker = paper.Worker(name="w", ram=4 * GIB)
        found = self.rejection(paper, worker, paper.request(), PlacementReason.INSUFFICIENT_RAM)
        assert (found.available, found.unit) == (str(4 * GIB), "bytes")
        enough = replace(worker, ram=int(found.needed))
        assert paper.place(paper.snapshot(enough), paper.request()).placement
        short = replace(worker, ram=int(found.needed) - 1)
        assert paper.place(paper.snapshot(short), paper.request()).placement is None

    def test_gpu_memory_says_what_one_gpu_would_have_to_have(self, paper):
        request = paper.request(options=LlamaCppOptions(forbid_cpu_offload=True))
        worker = paper.Worker(name="w", gpus=(2 * GIB, GIB))
        found = self.rejection(paper, worker, request, PlacementReason.INSUFFICIENT_GPU_MEMORY)
        assert found.available == str(2 * GIB)
        assert paper.place(paper.snapshot(replace(worker, gpus=(int(found.needed),))), request).placement
        short = replace(worker, gpus=(int(found.needed) - 1,))
        assert paper.place(paper.snapshot(short), request).placement is None

    def test_a_shorter_context_that_would_fit_is_found_and_is_the_longest(self, paper):
        request = paper.request(options=LlamaCppOptions(context_length=65536))
        worker = paper.Worker(name="w", ram=4608 * 2**20)
        found = self.rejection(paper, worker, request, PlacementReason.INSUFFICIENT_RAM)
        assert "context_length 32768 would fit" in found.remedy
        fits = replace(request, options=LlamaCppOptions(context_length=32768))
        assert paper.place(paper.snapshot(worker), fits).placement

    def test_no_context_is_promised_where_none_would_do(self, paper):
        worker = paper.Worker(name="w", ram=3 * GIB)
        found = self.rejection(paper, worker, paper.request(), PlacementReason.INSUFFICIENT_RAM)
        assert "context_length" not in found.remedy

    def test_fewer_gpu_layers_that_would_fit_are_found(self, paper):
        request = paper.request(options=LlamaCppOptions(gpu_layers=5))
        worker = paper.Worker(name="w", gpus=(3 * GIB,))
        found = self.rejection(paper, worker, request, PlacementReason.INSUFFICIENT_GPU_MEMORY)
        assert "gpu_layers 3 would fit" in found.remedy
        for layers, fits in ((3, True), (4, False)):
            tried = replace(request, options=LlamaCppOptions(gpu_layers=layers))
            assert bool(paper.place(paper.snapshot(worker), tried).placement) is fits

    def test_offload_is_offered_where_it_is_forbidden_and_would_do(self, paper):
        request = paper.request(options=LlamaCppOptions(forbid_cpu_offload=True))
        worker = paper.Worker(name="w", gpus=(3 * GIB,))
        found = self.rejection(paper, worker, request, PlacementReason.INSUFFICIENT_GPU_MEMORY)
        assert "with layers on the CPU it would fit" in found.remedy

    def test_a_gpu_worker_short_of_both_says_both(self, paper):
        worker = paper.Worker(name="w", gpus=(2 * GIB,), ram=GIB)
        explanation = paper.place(paper.snapshot(worker), paper.request()).explanation
        assert reasons(explanation, "w") == [
            PlacementReason.INSUFFICIENT_GPU_MEMORY,
            PlacementReason.INSUFFICIENT_RAM,
        ]
        assert counts(explanation) == {PlacementReason.INSUFFICIENT_GPU_MEMORY: 1}

    def test_a_gpu_that_holds_all_beside_too_little_ram_says_ram(self, paper):
        worker = paper.Worker(name="w", gpus=(24 * GIB,), ram=2**20)
        explanation = paper.place(paper.snapshot(worker), paper.request()).explanation
        assert reasons(explanation, "w") == [PlacementReason.INSUFFICIENT_RAM]

    def test_unified_memory_is_ram(self, paper):
        mac = paper.Worker(
            name="mac", ram=4 * GIB, gpus=(1,), kind=AcceleratorKind.METAL, unified=True,
            system=OperatingSystem.DARWIN,
        )  # fmt: skip
        found = self.rejection(paper, mac, paper.request(), PlacementReason.INSUFFICIENT_RAM)
        assert paper.place(paper.snapshot(replace(mac, ram=int(found.needed))), paper.request()).placement


def test_the_gist_ignores_what_heartbeats_move(paper):
    worker = paper.Worker(name="w", ram=GIB)
    first = paper.place(paper.snapshot(worker), paper.request()).explanation
    noise = replace(worker, foreign=((RAM, 4096),))
    second = paper.place(paper.snapshot(noise), paper.request()).explanation
    assert first != second
    assert first.gist == second.gist
    away = paper.place(paper.snapshot(replace(worker, cordoned=True)), paper.request()).explanation
    assert away.gist != first.gist


def _both(outcome):
    return outcome.placement, outcome.explanation
