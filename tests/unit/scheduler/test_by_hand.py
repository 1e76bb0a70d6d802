"""GPUs and workers that were chosen by hand: used, all of them, or refused with the reason."""

from dataclasses import replace

import pytest

from moorage_common.core.placement import OperatingSystem, PlacementMode, PlacementReason, Verdict
from moorage_common.core.states import AcceleratorKind, EngineKind, WorkerState
from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.core.request import GpuWish, LlamaCppOptions, Selection, tenant_of
from moorage_scheduler.core.sizes import LayerSizes

CUDA, ROCM, METAL = AcceleratorKind.CUDA, AcceleratorKind.ROCM, AcceleratorKind.METAL
FOUR = LayerSizes(block_weight_bytes=(10,) * 3, output_bytes=10, gpu_overhead_bytes=0, ram_overhead_bytes=0)
"""Four layers of 10 bytes, the output layer among them."""


def gpus(*pools, **others):
    """A choice of GPUs by their UUIDs, which on paper begin with their worker's name."""
    wishes = frozenset(GpuWish(worker=pool.partition("/")[0], uuid=pool) for pool in pools)
    return Selection(gpus=wishes, **others)


def positions(*places):
    return Selection(gpus=frozenset(GpuWish(worker=worker, kind=kind, index=i) for worker, kind, i in places))


def on_cards(placement):
    return {claim.pool: claim.layers for claim in placement.claims if claim.pool != RAM}


@pytest.fixture
def choose(paper):
    """Places a model of four layers on what was chosen of a fleet."""

    def choose(selection, *workers, tenants=(), facts=FOUR, **request):
        snapshot = paper.snapshot(*workers, tenants=tenants)
        return paper.place(
            snapshot, paper.request(facts=facts, selection=selection, **request), explain_workers=50
        )

    return choose


@pytest.fixture
def refused(choose):
    """The worker because of which a choice is refused, its first reason, and the verdict."""

    def refused(selection, *workers, **others):
        outcome = choose(selection, *workers, **others)
        assert outcome.placement is None
        first, *others = [w for w in outcome.explanation.workers if w.rejections]
        reasons = {worker.rejections[0].reason for worker in (first, *others)}
        assert reasons == {item.reason for item in outcome.explanation.reason_counts}
        return first.worker, first.rejections[0].reason, outcome.explanation.verdict

    return refused


@pytest.mark.rule("gpu-uuid")
class TestWhatIsChosen:
    def test_is_used_although_another_would_be_better(self, paper, choose):
        fleet = [paper.Worker(name="a", gpus=(40, 40)), paper.Worker(name="best", gpus=(100,))]
        assert on_cards(choose(gpus("a/gpu1"), *fleet).placement) == {"a/gpu1": 4}

    def test_may_be_told_by_its_place_among_its_kind(self, paper, choose):
        kinds = (ROCM, CUDA, ROCM, CUDA)
        mixed = paper.Worker(name="a", gpus=(40,) * 4, kinds=kinds)
        for place, pool in ((CUDA, 0), 1), ((CUDA, 1), 3), ((ROCM, 0), 0), ((ROCM, 1), 2):
            found = choose(positions(("a", *place)), mixed).placement
            assert on_cards(found) == {f"a/gpu{pool}": 4}

    def test_is_found_however_the_worker_lists_its_cards(self, paper):
        worker, condition = paper.Worker(name="a", gpus=(40, 40, 40)).parts()
        fleet = paper.fleet()
        fleet.put_worker(replace(worker, accelerators=worker.accelerators[::-1]), condition)
        for wish in (gpus("a/gpu2"), positions(("a", CUDA, 2))):
            request = paper.request(facts=FOUR, selection=wish)
            assert on_cards(paper.place(fleet.snapshot(), request).placement) == {"a/gpu2": 4}

    def test_is_one_gpu_by_whichever_of_its_names(self, paper, choose):
        twice = Selection(gpus=gpus("a/gpu1").gpus | positions(("a", CUDA, 1)).gpus)
        assert on_cards(choose(twice, paper.Worker(name="a", gpus=(40, 40))).placement) == {"a/gpu1": 4}

    def test_is_used_wholly_however_few_would_do(self, paper, choose):
        worker = paper.Worker(name="a", gpus=(40, 40, 40))
        found = choose(gpus("a/gpu0", "a/gpu1", "a/gpu2"), worker).placement
        assert found.mode is PlacementMode.SEVERAL_GPUS
        assert sorted(on_cards(found).values()) == [1, 1, 2]

    def test_gets_layers_in_proportion_to_its_room(self, paper, choose):
        facts = replace(FOUR, block_weight_bytes=(10,) * 19)
        worker = paper.Worker(name="a", gpus=(300, 100))
        assert on_cards(choose(gpus("a/gpu0", "a/gpu1"), worker, facts=facts).placement) == {
            "a/gpu0": 15,
            "a/gpu1": 5,
        }

    def test_may_hold_only_a_part(self, paper, choose):
        worker = paper.Worker(name="a", gpus=(20, 10, 40))
        found = choose(gpus("a/gpu0", "a/gpu1"), worker).placement
        assert (found.mode, found.gpu_layers) == (PlacementMode.PARTLY, 3)
        assert on_cards(found) == {"a/gpu0": 2, "a/gpu1": 1}

    @pytest.mark.parametrize("output", [1, 10, 15])
    def test_is_used_even_if_the_small_one_holds_only_the_output_layer(self, paper, choose, output):
        facts = replace(FOUR, output_bytes=output)
        worker = paper.Worker(name="a", gpus=(100, max(10, output)))
        found = choose(gpus("a/gpu0", "a/gpu1"), worker, facts=facts).placement
        assert sorted(on_cards(found).values()) == [1, 3]
        tiny = paper.Worker(name="a", gpus=(100, output))
        assert choose(gpus("a/gpu0", "a/gpu1"), tiny, facts=facts).placement

    def test_is_used_on_several_workers(self, paper, choose):
        fleet = [paper.Worker(name="a", gpus=(40, 40)), paper.Worker(name="b", gpus=(30, 30))]
        found = choose(gpus("a/gpu1", "b/gpu0", "b/gpu1"), *fleet).placement
        assert (found.worker, found.subordinates) == ("b", ("a",))
        assert on_cards(found).keys() == {"a/gpu1", "b/gpu0", "b/gpu1"}
        assert found.mode is PlacementMode.DISTRIBUTED
        found = choose(gpus("a/gpu1", "b/gpu0", primary_worker="a"), *fleet).placement
        assert (found.worker, found.subordinates) == ("a", ("b",))

    def test_is_what_counts_as_memory_of_the_one_that_leads(self, paper, choose):
        fleet = [paper.Worker(name="a", gpus=(40, 40)), paper.Worker(name="b", gpus=(50,))]
        assert choose(gpus("a/gpu0", "b/gpu0"), *fleet).placement.worker == "b"
        assert choose(gpus("a/gpu0", "a/gpu1", "b/gpu0"), *fleet).placement.worker == "a"

    def test_may_be_a_gpu_that_shares_its_workers_memory(self, paper, choose):
        mac = paper.Worker(
            name="mac", ram=40, gpus=(1,), kind=METAL, unified=True, system=OperatingSystem.DARWIN
        )
        for wish in (gpus("mac/gpu0"), positions(("mac", METAL, 0))):
            found = choose(wish, mac, paper.Worker(name="b", gpus=(40,))).placement
            assert (found.worker, found.mode, found.gpu_layers) == ("mac", PlacementMode.ONE_GPU, 4)
        assert choose(gpus("mac/gpu0"), replace(mac, ram=39)).placement is None


@pytest.mark.rule("hand-exact")
class TestGpusPerReplica:
    def test_each_replica_takes_exactly_so_many_and_no_two_the_same(self, paper):
        selection = gpus(*(f"a/gpu{i}" for i in range(6)), gpus_per_replica=2)
        snapshot = paper.snapshot(paper.Worker(name="a", gpus=(20,) * 8))
        request = paper.request(facts=FOUR, selection=selection)
        taken = []
        for number in range(3):
            placement = paper.place(snapshot, replace(request, seed=str(number))).placement
            assert list(on_cards(placement).values()) == [2, 2]
            taken += on_cards(placement)
            snapshot = snapshot.with_tenant(str(number), tenant_of("models/m", placement))
        assert sorted(taken) == [f"a/gpu{i}" for i in range(6)]
        fourth = paper.place(snapshot, request)
        assert fourth.placement is None
        assert fourth.explanation.verdict is Verdict.NOT_NOW

    def test_one_gpu_each_though_more_would_hold_more(self, paper, choose):
        worker = paper.Worker(name="a", gpus=(20, 20))
        found = choose(gpus("a/gpu0", "a/gpu1", gpus_per_replica=1), worker).placement
        assert (found.mode, found.gpu_layers, len(on_cards(found))) == (PlacementMode.PARTLY, 2, 1)

    def test_so_many_of_one_worker_before_so_many_of_several(self, paper, choose):
        fleet = [paper.Worker(name="a", gpus=(20, 20)), paper.Worker(name="b", gpus=(90,))]
        chosen = gpus("a/gpu0", "a/gpu1", "b/gpu0", gpus_per_replica=2)
        found = choose(chosen, *fleet).placement
        assert (found.worker, found.subordinates, len(on_cards(found))) == ("a", (), 2)

    def test_more_than_the_model_has_layers_is_impossible_everywhere(self, paper, choose):
        worker = paper.Worker(name="a", gpus=(30,) * 5)
        explanation = choose(gpus(*(f"a/gpu{i}" for i in range(5))), worker).explanation
        assert explanation.verdict is Verdict.NEVER_FITS
        (why,) = explanation.rejections
        assert why.reason is PlacementReason.PARALLEL_SIZE_IMPOSSIBLE
        assert (why.needed, why.available) == ("at most 4 GPUs", "5")

    def test_no_layers_on_gpus_and_chosen_gpus_contradict_each_other(self, paper, choose):
        worker, options = paper.Worker(name="a", gpus=(40,)), LlamaCppOptions(gpu_layers=0)
        (why,) = choose(gpus("a/gpu0"), worker, options=options).explanation.rejections
        assert why.reason is PlacementReason.PARALLEL_SIZE_IMPOSSIBLE


@pytest.mark.rule("hand-whole")
class TestRefused:
    """Beside the chosen GPU there is always another that would do, and it is never taken."""

    @pytest.mark.parametrize(
        ("change", "reason", "verdict"),
        [
            ({"state": WorkerState.UNREACHABLE}, PlacementReason.WORKER_UNREACHABLE, Verdict.NOT_NOW),
            ({"state": WorkerState.NOT_READY}, PlacementReason.WORKER_NOT_READY, Verdict.NOT_NOW),
            ({"cordoned": True}, PlacementReason.WORKER_CORDONED, Verdict.NOT_NOW),
            ({"draining": True, "cordoned": True}, PlacementReason.WORKER_DRAINING, Verdict.NOT_NOW),
            ({"maintenance": True}, PlacementReason.WORKER_MAINTENANCE, Verdict.NOT_NOW),
            ({"disk_free": 9}, PlacementReason.INSUFFICIENT_DISK, Verdict.NOT_NOW),
            ({"system": None}, PlacementReason.OS_UNSUPPORTED, Verdict.NEVER_FITS),
            ({"architecture": None}, PlacementReason.ARCHITECTURE_UNSUPPORTED, Verdict.NEVER_FITS),
            ({"installed": False}, PlacementReason.ENGINE_NOT_INSTALLED, Verdict.NEVER_FITS),
            ({"version": "2"}, PlacementReason.ENGINE_VERSION_UNSUPPORTED, Verdict.NEVER_FITS),
            ({"drives": frozenset()}, PlacementReason.ACCELERATOR_UNSUPPORTED, Verdict.NEVER_FITS),
            ({"capability": (3, 5)}, PlacementReason.COMPUTE_CAPABILITY_TOO_LOW, Verdict.NEVER_FITS),
            ({"driver": (390, 1)}, PlacementReason.DRIVER_TOO_OLD, Verdict.NEVER_FITS),
        ],
    )
    @pytest.mark.parametrize("also", [(), ("fine/gpu0",)])
    def test_a_gpu_whose_worker_does_not_pass(self, paper, refused, change, reason, verdict, also):
        bad, fine = paper.Worker(name="bad", gpus=(40,), **change), paper.Worker(name="fine", gpus=(40,))
        wish = {"engine_version": "1", "artifact_bytes": 10}
        assert refused(gpus("bad/gpu0", *also), bad, fine, **wish) == ("bad", reason, verdict)
        one_each = gpus("bad/gpu0", *also, gpus_per_replica=1)
        assert refused(one_each, bad, fine, **wish) == ("bad", reason, verdict)

    def test_a_worker_that_is_away_and_would_never_do_is_no_hope(self, paper, refused):
        bad = paper.Worker(name="bad", gpus=(40,), cordoned=True, installed=False)
        fine = paper.Worker(name="fine", gpus=(40,))
        chosen = gpus("bad/gpu0", "fine/gpu0", gpus_per_replica=1)
        assert refused(chosen, bad, fine)[2] is Verdict.NEVER_FITS

    @pytest.mark.parametrize("chosen", [gpus("a/gpu9"), positions(("a", CUDA, 1)), positions(("a", ROCM, 0))])
    def test_a_gpu_that_its_worker_does_not_have(self, paper, choose, refused, chosen):
        fleet = [paper.Worker(name="a", gpus=(40,)), paper.Worker(name="b", gpus=(40,))]
        unknown = ("a", PlacementReason.GPU_UNKNOWN, Verdict.NEVER_FITS)
        assert refused(chosen, *fleet) == unknown
        both = replace(chosen, gpus=chosen.gpus | gpus("a/gpu0").gpus, gpus_per_replica=1)
        assert refused(both, *fleet) == unknown
        (found,) = [w for w in choose(chosen, *fleet).explanation.workers if w.worker == "a"]
        (wish,) = chosen.gpus
        assert (found.rejections[0].needed, found.rejections[0].available) == (str(wish), "a/gpu0")

    def test_a_worker_that_does_not_exist(self, paper, refused):
        worker = paper.Worker(name="a", gpus=(40,))
        unknown = ("ghost", PlacementReason.WORKER_UNKNOWN, Verdict.NEVER_FITS)
        assert refused(gpus("ghost/gpu0"), worker) == unknown
        assert refused(gpus("ghost/gpu0", "a/gpu0", gpus_per_replica=1), worker) == unknown
        assert refused(Selection(workers=frozenset({"ghost", "a"})), worker) == unknown
        assert refused(Selection(primary_worker="ghost"), worker) == unknown

    def test_a_gpu_of_a_worker_that_was_left_out_by_name_or_label(self, paper, refused):
        fleet = [paper.Worker(name="a", gpus=(40,)), paper.Worker(name="b", gpus=(40,))]
        not_selected = ("b", PlacementReason.WORKER_NOT_SELECTED, Verdict.NEVER_FITS)
        assert refused(replace(gpus("b/gpu0"), workers=frozenset({"a"})), *fleet) == not_selected
        assert refused(replace(gpus("b/gpu0"), labels={"x": "y"}), *fleet) == not_selected

    def test_one_of_two_kinds_that_the_engine_does_not_drive(self, paper, choose, refused):
        """The other card of the same worker would do: the worker passes, and the choice is refused."""
        mixed = paper.Worker(name="a", gpus=(40, 40), kinds=(CUDA, ROCM), drives=frozenset({CUDA}))
        expected = ("a", PlacementReason.ACCELERATOR_UNSUPPORTED, Verdict.NEVER_FITS)
        assert choose(gpus("a/gpu0"), mixed).placement
        assert refused(gpus("a/gpu1"), mixed) == expected
        assert refused(gpus("a/gpu0", "a/gpu1"), mixed) == expected
        assert refused(gpus("a/gpu0", "a/gpu1", gpus_per_replica=1), mixed) == expected
        (why,) = choose(gpus("a/gpu1"), mixed).explanation.workers[0].rejections
        assert why.available == "ROCM, but LLAMA_CPP there computes on CUDA"
        assert why.remedy == "install a build of LLAMA_CPP for ROCM on a"

    def test_one_of_two_that_is_too_old_is_the_one_that_is_told(self, paper, choose):
        worker, condition = paper.Worker(name="a", gpus=(40, 40), driver=(550,), capability=(8, 9)).parts()
        new, old = worker.accelerators
        old = replace(old, capability=(3, 5), driver=(390,))
        fleet = paper.fleet()
        fleet.put_worker(replace(worker, accelerators=(new, old)), condition)
        for chosen in (gpus("a/gpu1"), gpus("a/gpu0", "a/gpu1")):
            request = paper.request(facts=FOUR, selection=chosen)
            (found,) = paper.place(fleet.snapshot(), request).explanation.workers
            (why,) = found.rejections
            assert why.reason is PlacementReason.COMPUTE_CAPABILITY_TOO_LOW
            assert (why.needed, why.available) == ("5.0", "3.5")

    def test_gpus_whose_memory_is_taken(self, paper, refused):
        fleet = [paper.Worker(name="a", gpus=(40,)), paper.Worker(name="b", gpus=(40,))]
        short = ("a", PlacementReason.INSUFFICIENT_GPU_MEMORY, Verdict.NOT_NOW)
        taken = [("x", "a", {"a/gpu0": 31})]
        assert refused(gpus("a/gpu0"), *fleet, tenants=taken) == short

    def test_a_gpu_that_has_no_room_for_a_layer_is_told_what_it_lacks(self, paper, choose):
        worker = paper.Worker(name="a", gpus=(100, 7))
        explanation = choose(gpus("a/gpu0", "a/gpu1"), worker).explanation
        (count,) = explanation.reason_counts
        (why,) = explanation.workers[0].rejections
        assert why.reason is count.reason is PlacementReason.INSUFFICIENT_GPU_MEMORY
        assert (why.needed, why.available) == ("10", "7")
        assert choose(gpus("a/gpu0", "a/gpu1"), replace(worker, gpus=(100, 10))).placement

    def test_gpus_of_several_workers_where_several_may_not_serve(self, paper, choose, refused):
        fleet = [paper.Worker(name="a", gpus=(40,)), paper.Worker(name="b", gpus=(40,))]
        few = (PlacementReason.INSUFFICIENT_GPUS, Verdict.NEVER_FITS)
        alone = gpus("a/gpu0", "b/gpu0", may_distribute=False)
        assert refused(alone, *fleet)[1:] == few
        why = choose(alone, *fleet).explanation.workers[0].rejections[0]
        assert (why.needed, why.available, why.unit) == ("2", "1", "GPUs")
        hermit = replace(fleet[1], distributes=False)
        assert refused(gpus("a/gpu0", "b/gpu0"), fleet[0], hermit)[1:] == (
            PlacementReason.DISTRIBUTION_UNSUPPORTED,
            Verdict.NEVER_FITS,
        )
        mine = paper.Worker(name="cpu")
        assert refused(gpus("a/gpu0", "b/gpu0", primary_worker="cpu"), *fleet, mine)[2] is Verdict.NEVER_FITS

    def test_nothing_that_was_chosen_is_left_out_of_several_workers(self, paper, choose, refused):
        """Two of the three cards hold the model; without room for a layer on the third there is no place."""
        fleet = [paper.Worker(name="a", gpus=(20, 5)), paper.Worker(name="b", gpus=(20,))]
        assert choose(gpus("a/gpu0", "b/gpu0"), *fleet).placement
        assert refused(gpus("a/gpu0", "a/gpu1", "b/gpu0"), *fleet)[2] is Verdict.NEVER_FITS

    def test_those_that_were_not_chosen_say_so(self, paper, choose):
        fleet = [paper.Worker(name="a", gpus=(4,)), *(paper.Worker(name=n, gpus=(40,)) for n in "bc")]
        explanation = choose(gpus("a/gpu0"), *fleet).explanation
        counts = {item.reason: item.worker_count for item in explanation.reason_counts}
        assert counts == {
            PlacementReason.GPU_NOT_SELECTED: 2,
            PlacementReason.INSUFFICIENT_GPU_MEMORY: 1,
        }

    def test_a_busy_worker_of_another_engines_is_not_told_to_be_exclusive(self, paper, choose):
        fleet = [paper.Worker(name=n, gpus=(20,), serves="models/x/instances/0") for n in "ab"]
        explanation = choose(
            gpus("a/gpu0", "b/gpu0", "a/gpu7"), *fleet, options=LlamaCppOptions(forbid_cpu_offload=True)
        ).explanation
        reasons = {item.reason for item in explanation.reason_counts}
        assert PlacementReason.DISTRIBUTED_VLLM_EXCLUSIVE not in reasons


class TestVllm:
    """The same of an engine that cuts layers instead of dealing them out."""

    def choose(self, paper, selection, *workers):
        request = paper.request(
            facts=replace(paper.shards(), attention_head_count=4),
            engine=EngineKind.VLLM,
            selection=selection,
        )
        return paper.place(paper.snapshot(*workers), request, explain_workers=50)

    def worker(self, paper, name, *sizes, **others):
        return paper.Worker(name=name, gpus=sizes, engine=EngineKind.VLLM, **others)

    def test_all_chosen_gpus_are_used(self, paper):
        worker = self.worker(paper, "a", *[100] * 8)
        for count in (1, 2, 4):
            found = self.choose(paper, gpus(*(f"a/gpu{i}" for i in range(count))), worker).placement
            assert len(on_cards(found)) == found.parallel.gpus == count

    def test_of_several_workers_too(self, paper):
        fleet = [self.worker(paper, name, 100, 100) for name in ("a", "b")]
        found = self.choose(paper, gpus("a/gpu0", "b/gpu0", "b/gpu1", "a/gpu1"), *fleet).placement
        assert found.mode is PlacementMode.DISTRIBUTED
        assert on_cards(found).keys() == {"a/gpu0", "a/gpu1", "b/gpu0", "b/gpu1"}

    def test_gpus_of_two_kinds_are_too_few_of_one(self, paper):
        mixed = self.worker(paper, "a", 100, 100, kinds=(CUDA, ROCM))
        explanation = self.choose(paper, gpus("a/gpu0", "a/gpu1"), mixed).explanation
        (why,) = explanation.workers[0].rejections
        assert why.reason is explanation.reason_counts[0].reason is PlacementReason.INSUFFICIENT_GPUS
        assert (why.needed, why.available) == ("2", "1")

    def test_one_of_them_away_refuses_the_choice(self, paper):
        fleet = [
            self.worker(paper, "a", 100),
            self.worker(paper, "b", 100, state=WorkerState.UNREACHABLE),
            self.worker(paper, "c", 100, 100),
        ]
        explanation = self.choose(paper, gpus("a/gpu0", "b/gpu0"), *fleet).explanation
        assert explanation.verdict is Verdict.NOT_NOW
        assert explanation.workers[0].worker == "b"
        assert explanation.workers[0].rejections[0].reason is PlacementReason.WORKER_UNREACHABLE
