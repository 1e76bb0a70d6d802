"""Preferences one by one, and what they come to together."""

import numpy as np
import pytest

from moorage_common.core.placement import PlacementStrategy
from moorage_common.core.states import AcceleratorKind
from moorage_scheduler.core.candidates import Candidates
from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.core.layers.packing import LayerPacking
from moorage_scheduler.core.memory import MemoryProfile, Parts, Unit
from moorage_scheduler.core.offer import View, offer
from moorage_scheduler.core.policy import FIT_GAP, ScoringPolicy
from moorage_scheduler.core.ranking import rank
from moorage_scheduler.core.sieve import sift
from moorage_scheduler.core.ties import tie_order
from moorage_scheduler.scorers import SCORERS
from moorage_scheduler.scorers.artifact_locality import ArtifactLocalityScorer
from moorage_scheduler.scorers.binpack import BinpackScorer
from moorage_scheduler.scorers.fit import FitScorer
from moorage_scheduler.scorers.speed import SpeedScorer
from moorage_scheduler.scorers.spread import SpreadScorer
from moorage_scheduler.scorers.stickiness import StickinessScorer

TEN = MemoryProfile(
    units=(Unit(on_gpu=Parts(weights=10), on_cpu=Parts(weights=10)),) * 4,
    per_gpu={kind: Parts() for kind in AcceleratorKind},
    per_gpu_of_several={kind: Parts() for kind in AcceleratorKind},
    host=Parts(),
    context_length=512,
)


@pytest.fixture
def candidates(paper):
    def make(snapshot, **others):
        request = paper.request(**others)
        given = offer(snapshot, request, snapshot.columns.present, sift(snapshot, request).cards)
        view = View(snapshot, request, given, PlacementStrategy.SPREAD)
        packing = LayerPacking(lambda _: TEN, request.options, request.selection.exact_gpus)
        return Candidates(view=view, packing=packing, fits=packing.alone(view))

    return make


@pytest.fixture
def ask(candidates):
    """Asks one scorer; gives its raw answer per worker."""

    def ask(scorer, snapshot, **request):
        given = candidates(snapshot, **request)
        names = [given.view.worker(row) for row in range(len(given.view.offer.slots))]
        return dict(zip(names, scorer.raw(given).tolist(), strict=True))

    return ask


def test_the_fit_keeps_modes_apart_and_orders_within_them(paper, ask):
    worker = paper.Worker
    answer = ask(
        FitScorer(),
        paper.snapshot(
            worker(name="one", gpus=(40,)),
            worker(name="two", gpus=(20, 20)),
            worker(name="four", gpus=(10, 10, 10, 10)),
            worker(name="most", gpus=(30,)),
            worker(name="least", gpus=(10,)),
            worker(name="cpu"),
        ),
    )
    order = ["one", "two", "four", "most", "least", "cpu"]
    assert sorted(answer, key=answer.get, reverse=True) == order
    gaps = [answer["one"] - answer["two"], answer["four"] - answer["most"], answer["least"] - answer["cpu"]]
    assert min(gaps) >= FIT_GAP - 1e-9


@pytest.mark.rule("binpack")
class TestBinpack:
    def test_the_fullest_gpu_that_holds_it_counts(self, paper, ask):
        snapshot = paper.snapshot(
            paper.Worker(name="empty", gpus=(100, 100)),
            paper.Worker(name="used", gpus=(100, 100)),
            tenants=[("x", "used", {"used/gpu1": 50})],
        )
        assert ask(BinpackScorer(), snapshot) == {"empty": 0.4, "used": 0.9}

    def test_a_gpu_too_full_to_hold_it_does_not_count(self, paper, ask):
        tenants = [("x", "w", {"w/gpu1": 70})]
        snapshot = paper.snapshot(paper.Worker(name="w", gpus=(100, 100)), tenants=tenants)
        assert ask(BinpackScorer(), snapshot) == {"w": 0.4}

    def test_several_gpus_count_together(self, paper, ask):
        snapshot = paper.snapshot(paper.Worker(name="w", gpus=(25, 25)))
        assert ask(BinpackScorer(), snapshot) == {"w": 0.8}

    def test_on_the_cpu_ram_counts(self, paper, ask):
        snapshot = paper.snapshot(paper.Worker(name="w", ram=100), tenants=[("x", "w", {RAM: 20})])
        assert ask(BinpackScorer(), snapshot) == {"w": 0.6}


@pytest.mark.rule("spread")
class TestSpread:
    def test_the_models_own_instances_count_more_than_any_number_of_others(self, paper, ask):
        others = [("x", "busy", {}) for _ in range(50)]
        names = ("free", "busy", "own")
        snapshot = paper.snapshot(
            *(paper.Worker(name=n) for n in names), tenants=[*others, ("models/m", "own", {RAM: 1})]
        )
        answer = ask(SpreadScorer(), snapshot)
        assert answer["free"] == 1.0 > answer["busy"] > answer["own"]

    def test_a_nominated_instance_counts_as_a_bound_one(self, paper, ask):
        fleet = [paper.Worker(name="a"), paper.Worker(name="b")]
        tenants = [("models/m", "a", {}), ("models/m", "b", {RAM: 1, "b/gpu0": 1})]
        answer = ask(SpreadScorer(), paper.snapshot(*fleet, tenants=tenants))
        assert answer["a"] == answer["b"]


@pytest.mark.rule("locality")
def test_locality_is_for_artifacts_that_are_ready(paper, ask):
    fleet = [paper.Worker(name="a"), paper.Worker(name="b")]
    snapshot = paper.snapshot(
        *fleet, copies=[("artifacts/a", "a"), ("artifacts/x", "b"), ("artifacts/a", "?")]
    )
    assert ask(ArtifactLocalityScorer(), snapshot) == {"a": 1.0, "b": 0.0}


@pytest.mark.rule("sticky")
def test_stickiness_is_for_the_last_worker(paper, ask):
    snapshot = paper.snapshot(paper.Worker(name="a"), paper.Worker(name="b"))
    assert ask(StickinessScorer(), snapshot, last_worker="b") == {"a": 0.0, "b": 1.0}
    assert ask(StickinessScorer(), snapshot, last_worker="gone") == {"a": 0.0, "b": 0.0}
    assert ask(StickinessScorer(), snapshot) == {"a": 0.0, "b": 0.0}


@pytest.mark.rule("speed")
class TestSpeed:
    def test_the_card_that_reads_its_memory_faster_is_preferred(self, paper, ask):
        fast = paper.Worker(name="fast", gpus=(40,), bytes_per_s=4e12)
        snapshot = paper.snapshot(fast, paper.Worker(name="unknown", gpus=(40,)), paper.Worker(name="cpu"))
        assert ask(SpeedScorer(), snapshot) == {"fast": 4e12, "unknown": 0.0, "cpu": 0.0}

    def test_a_card_that_the_build_does_not_drive_makes_nothing_faster(self, paper, ask):
        other = paper.Worker(name="w", gpus=(40,), bytes_per_s=4e12, drives=frozenset())
        assert ask(SpeedScorer(), paper.snapshot(other)) == {"w": 0.0}

    def test_among_equals_the_faster_is_chosen(self, paper):
        fleet = [
            paper.Worker(name=f"w{i}", gpus=(24 * paper.GIB,), bytes_per_s=1e12 * (1 + (i == 3)))
            for i in range(5)
        ]
        for seed in "abcdef":
            assert paper.place(paper.snapshot(*fleet), paper.request(seed=seed)).placement.worker == "w3"


class TestRanking:
    def rank(self, given, strategy=PlacementStrategy.SPREAD, policy=None):
        ranking = rank(given, strategy, policy or ScoringPolicy())
        return ranking, [given.view.worker(int(row)) for row in ranking.order]

    @pytest.mark.parametrize("strategy", PlacementStrategy)
    @pytest.mark.rule("score-parts")
    def test_a_score_is_the_sum_of_its_parts(self, paper, candidates, strategy):
        fleet = [paper.Worker(name="a", gpus=(40,)), paper.Worker(name="b")]
        snapshot = paper.snapshot(*fleet, copies=[("artifacts/a", "b")])
        ranking, _ = self.rank(candidates(snapshot, last_worker="a"), strategy)
        for row in range(2):
            parts = ranking.parts(row)
            assert ranking.score[row] == pytest.approx(sum(p.value * p.weight for p in parts))
            assert [p.scorer for p in parts] == [s.name for s in SCORERS[strategy]]

    @pytest.mark.parametrize("strategy", PlacementStrategy)
    def test_nothing_outweighs_a_better_fit(self, paper, candidates, strategy):
        fleet = [paper.Worker(name="gpus", gpus=(20, 20)), paper.Worker(name="part", gpus=(30,))]
        tenants = [("models/m", "gpus", {}) for _ in range(5)]
        copies = [("artifacts/a", "part")]
        snapshot = paper.snapshot(*fleet, tenants=tenants, copies=copies)
        _, order = self.rank(candidates(snapshot, last_worker="part"), strategy)
        assert order == ["gpus", "part"]

    def test_a_second_replica_goes_elsewhere_even_without_the_artifact(self, paper, candidates):
        fleet = [paper.Worker(name="a"), paper.Worker(name="b")]
        snapshot = paper.snapshot(
            *fleet, tenants=[("models/m", "a", {}), ("x", "b", {})], copies=[("artifacts/a", "a")]
        )
        assert self.rank(candidates(snapshot, last_worker="a"))[1] == ["b", "a"]

    def test_other_models_are_no_reason_to_download_again(self, paper, candidates):
        fleet = [paper.Worker(name="a"), paper.Worker(name="b")]
        tenants = [("x", "a", {}) for _ in range(20)]
        snapshot = paper.snapshot(*fleet, tenants=tenants, copies=[("artifacts/a", "a")])
        assert self.rank(candidates(snapshot))[1] == ["a", "b"]

    @pytest.mark.rule("replay")
    def test_equals_are_ordered_by_the_seed_and_not_by_their_order(self, paper, candidates):
        fleet = [paper.Worker(name=f"w{i}") for i in range(6)]
        forth, back = paper.snapshot(*fleet), paper.snapshot(*fleet[::-1])
        orders = {seed: self.rank(candidates(forth, seed=seed))[1] for seed in "abcdef"}
        assert orders == {seed: self.rank(candidates(back, seed=seed))[1] for seed in orders}
        assert len({order[0] for order in orders.values()}) > 1


def test_tie_orders_differ_by_seed_and_are_fair():
    identities = np.arange(64, dtype=np.uint64)
    firsts = {int(tie_order(identities, str(seed)).argmin()) for seed in range(64)}
    assert len(firsts) > 20


class TestPolicy:
    def test_weights_are_found_by_the_scorers_names(self):
        policy = ScoringPolicy()
        names = {scorer.name for scorers in SCORERS.values() for scorer in scorers}
        assert all(policy.weight_of(name) > 0 for name in names)

    def test_a_fit_that_others_could_outweigh_is_refused(self):
        with pytest.raises(ValueError, match="fit"):
            ScoringPolicy(fit=10.0)

    def test_a_negative_weight_is_refused(self):
        with pytest.raises(ValueError, match="negative"):
            ScoringPolicy(stickiness=-1.0)
