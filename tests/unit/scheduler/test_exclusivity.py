"""A worker takes part in at most one distributed vLLM instance at a time."""

from dataclasses import replace

import pytest

from moorage_common.core.placement import PlacementReason, Verdict
from moorage_common.core.states import EngineKind
from moorage_scheduler.core.request import GpuWish, Selection, VllmOptions, tenant_of


class TestExclusivity:
    """The search steps around workers that serve a distributed vLLM instance, and says so where none is left."""

    def place(self, paper, *workers, **others):
        request = paper.request(
            facts=paper.shards(attention_head_count=4), engine=EngineKind.VLLM,
            vllm=VllmOptions(tensor_parallel_size=1, pipeline_parallel_size=2), **others,
        )  # fmt: skip
        return paper.place(paper.snapshot(*workers), request)

    def worker(self, paper, name, cards=1, **others):
        return paper.Worker(name=name, gpus=(100,) * cards, engine=EngineKind.VLLM, **others)

    @pytest.mark.rule("steps-around", "one-distributed-vllm")
    def test_it_steps_around_them(self, paper):
        busy = self.worker(paper, "busy", serves="models/x/instances/0")
        fleet = [busy, self.worker(paper, "a"), self.worker(paper, "b")]
        placement = self.place(paper, *fleet).placement
        assert {placement.worker, *placement.subordinates} == {"a", "b"}
        assert placement.is_exclusive

    @pytest.mark.rule("steps-around")
    def test_where_none_is_left_it_names_worker_and_instance(self, paper):
        fleet = [self.worker(paper, "busy", serves="models/x/instances/0"), self.worker(paper, "a")]
        for wish in ({}, {"workers": ["busy", "a"]}):
            outcome = self.place(paper, *fleet, **wish)
            assert outcome.placement is None
            assert outcome.explanation.verdict is Verdict.NOT_NOW
            (why,) = [w.rejections[0] for w in outcome.explanation.workers if w.worker == "busy"]
            assert why.reason is PlacementReason.DISTRIBUTED_VLLM_EXCLUSIVE
            assert why.instances == ("models/x/instances/0",)
            assert (
                "each worker can serve only one distributed vLLM instance at a time;"
                " busy already serves models/x/instances/0" in why.remedy
            )
            assert why.remedy in outcome.explanation.summary
            counts = {c.reason: c.worker_count for c in outcome.explanation.reason_counts}
            assert counts[PlacementReason.DISTRIBUTED_VLLM_EXCLUSIVE] == 1

    @pytest.mark.rule("steps-around", "hand-whole")
    def test_by_hand_too(self, paper):
        fleet = [self.worker(paper, name) for name in "ab"]
        busy = [replace(fleet[0], serves="models/x/instances/0"), fleet[1]]
        gpus = frozenset(GpuWish(worker=n, uuid=f"{n}/gpu0") for n in "ab")
        chosen = {"selection": Selection(gpus=gpus)}
        assert self.place(paper, *fleet, **chosen).placement.is_exclusive
        explanation = self.place(paper, *busy, **chosen).explanation
        counts = {c.reason: c.worker_count for c in explanation.reason_counts}
        assert counts[PlacementReason.DISTRIBUTED_VLLM_EXCLUSIVE] == 1

    @pytest.mark.rule("others-do-not-count")
    def test_alone_a_busy_worker_serves_another(self, paper):
        busy = self.worker(paper, "busy", 2, serves="models/x/instances/0")
        placement = self.place(paper, busy).placement
        assert (placement.worker, placement.subordinates) == ("busy", ())
        assert not placement.is_exclusive

    def test_what_would_not_fit_without_it_either_is_not_blamed_on_it(self, paper):
        busy = self.worker(paper, "busy", serves="models/x/instances/0")
        explanation = self.place(paper, busy).explanation
        assert explanation.verdict is Verdict.NEVER_FITS
        assert [c.reason for c in explanation.reason_counts] == [PlacementReason.INSUFFICIENT_GPUS]

    def test_replicas_of_one_model_take_workers_in_pairs(self, paper):
        snapshot = paper.snapshot(*(self.worker(paper, name) for name in "abcde"))
        options = VllmOptions(pipeline_parallel_size=2, gpu_memory_utilization=0.4)
        request = paper.request(facts=paper.shards(), engine=EngineKind.VLLM, vllm=options)
        used = []
        for number in range(2):
            placement = paper.place(snapshot, replace(request, seed=str(number))).placement
            used += [placement.worker, *placement.subordinates]
            snapshot = snapshot.with_tenant(f"i{number}", tenant_of("models/m", placement))
        assert len(set(used)) == 4
        third = paper.place(snapshot, request)
        assert third.placement is None
        kept = [w for w in third.explanation.workers if w.rejections[0].instances]
        assert {w.worker for w in kept} == set(used)
