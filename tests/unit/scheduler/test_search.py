"""Whole layers on GPUs and CPU, with units of round sizes so that every answer can be worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from moorage_common.core.placement import PlacementStrategy
from moorage_common.core.states import AcceleratorKind
from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.core.layers.alone import search
from moorage_scheduler.core.layers.demand import Demand
from moorage_scheduler.core.layers.shares import Sharer, claims_of, unified_claims
from moorage_scheduler.core.memory import MemoryProfile, Parts, Unit
from moorage_scheduler.core.offer import Gpu, offer
from moorage_scheduler.core.packing import Mode
from moorage_scheduler.core.request import LlamaCppOptions
from moorage_scheduler.core.sieve import sift
from moorage_scheduler.core.ties import tie

HOST, BESIDE, COMPUTING, PER_GPU = 5, 1, 3, 2


def profile(*weights, repacked=0):
    """A model whose units, output first, take these on a GPU, and some more on the CPU."""
    return MemoryProfile(
        units=tuple(Unit(on_gpu=Parts(weights=w), on_cpu=Parts(weights=w + repacked)) for w in weights),
        per_gpu={kind: Parts(compute=PER_GPU) for kind in AcceleratorKind},
        per_gpu_of_several={kind: Parts(compute=PER_GPU) for kind in AcceleratorKind},
        host=Parts(weights=HOST),
        host_beside_gpu=Parts(compute=BESIDE),
        host_beside_several=Parts(compute=BESIDE),
        host_computing=Parts(compute=COMPUTING),
        context_length=512,
    )


def on_offer(snapshot, request, **others):
    """What every worker has to give, on cards that the model may compute on."""
    return offer(snapshot, request, snapshot.columns.present, sift(snapshot, request).cards, **others)


@pytest.fixture
def find(paper):
    """Searches one worker for a model of four units of 10 bytes; gives (mode, units on GPUs, GPUs)."""

    def find(*, ram=1000, gpus=(), options=None, model=None, **worker):
        snapshot = paper.snapshot(paper.Worker(name="w", ram=ram, gpus=gpus, **worker))
        request = paper.request(options=options)
        demand = Demand(model or profile(10, 10, 10, 10), request.options, request.selection.exact_gpus)
        found = search(demand, on_offer(snapshot, request))
        return Mode(int(found.mode[0])), int(found.units[0]), int(found.gpus[0])

    return find


@pytest.mark.rule("preference")
class TestPreference:
    def test_one_gpu_that_holds_everything(self, find):
        assert find(gpus=(42, 20)) == (Mode.ONE_GPU, 4, 1)

    def test_one_byte_less_takes_a_second_gpu(self, find):
        assert find(gpus=(41, 20)) == (Mode.SEVERAL_GPUS, 4, 2)

    def test_the_fewest_gpus_however_they_are_listed(self, find):
        for gpus in [(12, 32, 12, 22), (32, 22, 12, 12), (12, 12, 22, 32)]:
            assert find(gpus=gpus) == (Mode.SEVERAL_GPUS, 4, 2)

    @pytest.mark.rule("many-gpus")
    def test_a_hundred_gpus_are_no_other_case(self, find):
        assert find(gpus=(12,) * 100, model=profile(*[10] * 100)) == (Mode.SEVERAL_GPUS, 100, 100)

    def test_what_gpus_cannot_hold_is_in_ram(self, find):
        assert find(gpus=(32,)) == (Mode.PARTLY, 3, 1)
        assert find(gpus=(22, 12)) == (Mode.PARTLY, 3, 2)

    @pytest.mark.rule("whole-layers")
    def test_layers_are_never_cut(self, find):
        assert find(gpus=(31,)) == (Mode.PARTLY, 2, 1)

    def test_gpus_too_small_for_a_layer_leave_everything_in_ram(self, find):
        assert find(gpus=(11, 11)) == (Mode.CPU, 0, 0)

    def test_no_gpu_leaves_everything_in_ram(self, find):
        assert find() == (Mode.CPU, 0, 0)

    @pytest.mark.rule("whole-layers")
    def test_units_of_unequal_size_go_output_first(self, find):
        assert find(gpus=(32,), model=profile(25, 10, 1, 1)) == (Mode.PARTLY, 1, 1)


class TestRam:
    def test_holds_the_host_part_of_what_is_all_on_gpus(self, find):
        assert find(gpus=(42,), ram=HOST + BESIDE)[0] is Mode.ONE_GPU
        assert find(gpus=(42,), ram=HOST + BESIDE - 1)[0] is Mode.NOWHERE

    def test_holds_the_layers_that_are_left(self, find):
        assert find(gpus=(32,), ram=10 + HOST + COMPUTING)[0] is Mode.PARTLY
        assert find(gpus=(32,), ram=10 + HOST + COMPUTING - 1)[0] is Mode.NOWHERE

    def test_counts_what_the_cpu_holds_twice(self, find):
        model = profile(10, 10, repacked=4)
        assert find(ram=28 + HOST + COMPUTING, model=model)[0] is Mode.CPU
        assert find(ram=28 + HOST + COMPUTING - 1, model=model)[0] is Mode.NOWHERE


@pytest.mark.rule("gpu-layers")
class TestOptions:
    def test_gpu_layers_are_neither_more_nor_fewer_than_asked_for(self, find):
        two = LlamaCppOptions(gpu_layers=2)
        assert find(gpus=(100,), options=two) == (Mode.PARTLY, 2, 1)
        assert find(gpus=(12, 12, 12), options=two) == (Mode.PARTLY, 2, 2)
        assert find(gpus=(12,), options=two)[0] is Mode.NOWHERE

    def test_more_gpu_layers_than_there_are_mean_all(self, find):
        assert find(gpus=(42,), options=LlamaCppOptions(gpu_layers=99)) == (Mode.ONE_GPU, 4, 1)

    def test_no_gpu_layers_leave_the_gpus_alone(self, find):
        assert find(gpus=(42,), options=LlamaCppOptions(gpu_layers=0)) == (Mode.CPU, 0, 0)

    def test_forbidden_offload_wants_all_on_gpus_where_there_are_any(self, find):
        forbid = LlamaCppOptions(forbid_cpu_offload=True)
        assert find(gpus=(22, 22), options=forbid) == (Mode.SEVERAL_GPUS, 4, 2)
        assert find(gpus=(22, 21), options=forbid)[0] is Mode.NOWHERE
        assert find(options=forbid) == (Mode.CPU, 0, 0)

    def test_gpus_that_the_build_does_not_drive_are_not_used(self, find):
        assert find(gpus=(42,), drives=frozenset()) == (Mode.CPU, 0, 0)
        other = frozenset({AcceleratorKind.ROCM})
        assert find(gpus=(42,), drives=other) == (Mode.CPU, 0, 0)


@pytest.mark.rule("unified-once")
class TestUnifiedMemory:
    FULL = 40 + PER_GPU + HOST + BESIDE

    def test_both_parts_come_out_of_one_pool(self, find):
        mac = {"gpus": (1,), "kind": AcceleratorKind.METAL, "unified": True}
        assert find(ram=self.FULL, **mac) == (Mode.ONE_GPU, 4, 1)

    def test_what_is_too_small_for_the_gpus_extras_may_do_for_the_cpu(self, find):
        frugal = replace(profile(10, 10, 10, 10), host_computing=Parts())
        mac = {"gpus": (1,), "kind": AcceleratorKind.METAL, "unified": True, "model": frugal}
        assert find(ram=self.FULL, **mac) == (Mode.ONE_GPU, 4, 1)
        assert find(ram=self.FULL - 1, **mac) == (Mode.CPU, 0, 0)
        assert find(ram=40 + HOST - 1, **mac)[0] is Mode.NOWHERE
        forbid = LlamaCppOptions(forbid_cpu_offload=True)
        assert find(ram=self.FULL - 1, options=forbid, **mac)[0] is Mode.NOWHERE

    def test_gpu_layers_are_held_to(self, find):
        mac = {"gpus": (1,), "kind": AcceleratorKind.METAL, "unified": True}
        two = LlamaCppOptions(gpu_layers=2)
        assert find(ram=40 + PER_GPU + HOST + COMPUTING, options=two, **mac) == (Mode.PARTLY, 2, 1)
        assert find(ram=40 + PER_GPU + HOST + COMPUTING - 1, options=two, **mac)[0] is Mode.NOWHERE

    def test_a_build_for_the_cpu_uses_the_memory_as_ram(self, find):
        mac = {"gpus": (1,), "kind": AcceleratorKind.METAL, "unified": True, "drives": frozenset()}
        assert find(ram=1000, **mac) == (Mode.CPU, 0, 0)


def test_what_is_claimed_or_used_by_others_is_not_on_offer(paper):
    worker = paper.Worker(name="w", gpus=(100,), foreign=(("w/gpu0", 30),))
    snapshot = paper.snapshot(worker, tenants=[("m", "w", {"w/gpu0": 50})])
    assert on_offer(snapshot, paper.request()).available[0, 1] == 20
    assert on_offer(snapshot, paper.request(), empty=True).available[0, 1] == 100


def gpu(name, available, *, capacity=100, replicas=0, tenants=0, worker="w"):
    return Gpu(
        worker=worker,
        pool=name,
        kind=AcceleratorKind.CUDA,
        total=capacity,
        capacity=capacity,
        available=available,
        replicas=replicas,
        tenants=tenants,
    )


def fill(demand, gpus, units, strategy=PlacementStrategy.BINPACK, seed="s"):
    way = next(way for way in demand.ways if way.most_gpus != 1 and way.goal >= units)
    if units < demand.total_units:
        way = demand.beside_ram
    sharer = Sharer(demand=demand, way=way, strategy=strategy, seed=seed)
    return sharer.fill(tuple(gpus), start=0, stop=units)


class TestShares:
    def share(self, gpus, strategy=PlacementStrategy.BINPACK, units=4, seed="s", model=None):
        demand = Demand(model or profile(10, 10, 10, 10), LlamaCppOptions())
        return [(s.gpu.pool, s.start, s.stop) for s in fill(demand, gpus, units, strategy, seed)]

    def test_binpack_takes_the_fullest_that_holds_everything(self):
        gpus = [gpu("empty", 100), gpu("tight", 42), gpu("small", 41)]
        assert self.share(gpus) == [("tight", 0, 4)]

    def test_spread_takes_the_one_without_a_replica_then_without_others_then_the_emptiest(self):
        spread = PlacementStrategy.SPREAD
        gpus = [gpu("a", 100, replicas=1), gpu("b", 60, tenants=1), gpu("c", 50)]
        assert self.share(gpus, spread) == [("c", 0, 4)]
        assert self.share([gpu("a", 100, replicas=1), gpu("b", 60, tenants=1)], spread) == [("b", 0, 4)]
        assert self.share([gpu("a", 60), gpu("b", 70)], spread) == [("b", 0, 4)]

    def test_the_largest_is_filled_first_and_the_rest_goes_where_it_fits_tightest(self):
        gpus = [gpu("big", 32), gpu("also", 30), gpu("tight", 12)]
        assert self.share(gpus) == [("big", 0, 3), ("tight", 3, 4)]

    def test_partly_fills_every_gpu(self):
        model = profile(*[10] * 9)
        gpus = [gpu("a", 22), gpu("b", 12), gpu("c", 11)]
        assert self.share(gpus, units=3, model=model) == [("a", 0, 2), ("b", 2, 3)]

    def test_equals_are_told_apart_by_the_seed_and_not_by_their_order(self):
        gpus = [gpu(f"g{i}", 50) for i in range(8)]
        chosen = {seed: self.share(gpus, seed=seed) for seed in "abcdefgh"}
        assert {seed: self.share(gpus[::-1], seed=seed) for seed in chosen} == chosen
        assert len({shares[0][0] for shares in chosen.values()}) > 1


class TestClaims:
    def test_ram_comes_first_then_gpus_in_the_order_of_the_layers(self):
        demand = Demand(profile(1, 10, 20, 30), LlamaCppOptions())
        gpus = (gpu("a", 22), gpu("b", 23))
        claims = claims_of(demand.beside_ram, "w", fill(demand, gpus, 3))
        assert [(c.pool, c.layers) for c in claims] == [(RAM, 1), ("a", 1), ("b", 2)]
        assert {c.worker for c in claims} == {"w"}
        assert sum(c.layers for c in claims) == 4
        assert claims[0].size_bytes == 30 + HOST + COMPUTING
        assert sum(c.size_bytes for c in claims[1:]) == 31 + 2 * PER_GPU

    def test_unified_memory_is_claimed_once(self):
        demand = Demand(profile(10, 10), LlamaCppOptions())
        (claim,) = unified_claims(demand.ways[0], "w", 2, AcceleratorKind.METAL)
        assert (claim.worker, claim.pool, claim.layers) == ("w", RAM, 2)
        assert claim.size_bytes == 20 + PER_GPU + HOST + BESIDE
        (on_cpu,) = unified_claims(demand.beside_ram, "w", 0, AcceleratorKind.METAL)
        assert on_cpu.size_bytes == 20 + HOST + COMPUTING


def test_ties_replay():
    assert tie("s", "a") == tie("s", "a")
    assert tie("s", "a") != tie("t", "a")


def test_prefix_sums_say_what_the_parts_say():
    model = profile(1, 20, 300, repacked=5)
    demand = Demand(model, LlamaCppOptions())
    assert np.diff(demand.on_gpus).tolist() == [unit.on_gpu.total for unit in model.units]
    for way in demand.ways:
        assert way.in_ram.tolist() == [way.ram(units).total for units in range(way.goal + 1)]
