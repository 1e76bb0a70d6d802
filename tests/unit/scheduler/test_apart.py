"""Which workers may serve one instance together, and what they are told when they may not."""

from dataclasses import replace

import pytest

from moorage_common.core.placement import PlacementMode, PlacementReason, Verdict
from moorage_scheduler.core.request import LlamaCppOptions
from moorage_scheduler.core.sizes import LayerSizes

FOUR = LayerSizes(
    block_weight_bytes=(10, 10, 10), output_bytes=10, gpu_overhead_bytes=0, ram_overhead_bytes=0
)
NO_OFFLOAD = LlamaCppOptions(forbid_cpu_offload=True)


@pytest.fixture
def ask(paper):
    """Places a model that must be on GPUs on a fleet."""

    def ask(*workers, **request):
        request = paper.request(facts=FOUR, options=NO_OFFLOAD, **request)
        return paper.place(paper.snapshot(*workers), request)

    return ask


def members(placement):
    return {placement.worker, *placement.subordinates}


@pytest.mark.rule("same-version")
class TestVersions:
    def test_workers_of_one_version_serve_together(self, paper, ask):
        old = [paper.Worker(name=name, gpus=(20,), version="1.9") for name in "ab"]
        new = [paper.Worker(name=name, gpus=(20,), version="1.10") for name in "cd"]
        placement = ask(old[0], new[0], old[1]).placement
        assert (members(placement), placement.engine_version) == ({"a", "b"}, "1.9")
        assert members(ask(old[0], *new).placement) == {"c", "d"}
        assert ask(old[0], new[0]).placement is None

    def test_whoever_leads_nobody_of_another_version_serves_with_it(self, paper, ask):
        versions = {"a": "1.9", "b": "1.10", "c": "1.9", "d": "1.10"}
        workers = [paper.Worker(name=name, gpus=(20,), version=versions[name]) for name in versions]
        placements = [ask(*workers, seed=str(seed)).placement for seed in range(8)]
        assert all({versions[name] for name in members(p)} == {p.engine_version} for p in placements)
        assert {p.engine_version for p in placements} == {"1.9", "1.10"}

    def test_the_one_with_most_memory_leads_whatever_its_version(self, paper, ask):
        small = [paper.Worker(name=name, gpus=(20,), version="2") for name in "ab"]
        large = [
            paper.Worker(name="c", gpus=(30,), version="1"),
            paper.Worker(name="d", gpus=(10,), version="1"),
        ]
        assert ask(*small, *large).placement.worker == "c"

    def test_a_worker_alone_runs_the_latest_that_is_asked_for(self, paper):
        snapshot = paper.snapshot(paper.Worker(name="a", version="1.9", other_versions=("2.0", "1.10")))
        for wish, version in {"": "2.0", "<2": "1.10", "1.9": "1.9"}.items():
            request = paper.request(facts=FOUR, engine_version=wish)
            assert paper.place(snapshot, request).placement.engine_version == version

    def test_of_several_builds_the_one_that_all_have(self, paper, ask):
        both = paper.Worker(name="a", gpus=(20,), version="1", other_versions=("2",))
        placement = ask(both, paper.Worker(name="b", gpus=(20,), version="1")).placement
        assert (placement.mode, placement.engine_version) == (PlacementMode.DISTRIBUTED, "1")
        assert ask(both, replace(both, name="b")).placement.engine_version == "2"


@pytest.mark.rule("kept-apart")
class TestTold:
    def test_versions_that_differ(self, paper, ask):
        found = ask(
            paper.Worker(name="a", gpus=(20,), version="1"),
            paper.Worker(name="b", gpus=(20,), version="2"),
            paper.Worker(name="c", gpus=(5,), version="3"),
        ).explanation
        reasons = {item.reason: item.worker_count for item in found.reason_counts}
        assert reasons == {
            PlacementReason.ENGINE_VERSIONS_DIFFER: 2,
            PlacementReason.INSUFFICIENT_GPU_MEMORY: 1,
        }
        told = {item.worker: item.rejections[0] for item in found.workers[:2]}
        assert told["a"].available == "1"
        assert told["a"].remedy == "install the same version of LLAMA_CPP on them: b has 2"
        assert {"a", "b"} == told.keys()

    def test_builds_that_serve_alone(self, paper, ask):
        found = ask(
            paper.Worker(name="a", gpus=(20,)), paper.Worker(name="b", gpus=(20,), distributes=False)
        ).explanation
        assert found.verdict is Verdict.NEVER_FITS
        assert found.workers[0].worker == "b"
        assert found.workers[0].rejections[0].reason is PlacementReason.DISTRIBUTION_UNSUPPORTED
        assert "together with a" in found.workers[0].rejections[0].remedy
        assert found.workers[1].rejections[0].reason is PlacementReason.INSUFFICIENT_GPU_MEMORY

    def test_nothing_where_they_could_not_hold_it_anyway(self, paper, ask):
        found = ask(
            paper.Worker(name="a", gpus=(20,), version="1"),
            paper.Worker(name="b", gpus=(10,), version="2", distributes=False),
        ).explanation
        assert {item.reason for item in found.reason_counts} == {PlacementReason.INSUFFICIENT_GPU_MEMORY}
