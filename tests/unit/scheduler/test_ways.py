"""What memory holds besides layers, as it depends on where all of them are."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_common.core.placement import MemoryPart, PlacementStrategy
from moorage_common.core.states import AcceleratorKind
from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.core.layers.alone import search
from moorage_scheduler.core.layers.demand import Demand
from moorage_scheduler.core.layers.packing import LayerPacking
from moorage_scheduler.core.memory import MemoryProfile, Parts, Unit
from moorage_scheduler.core.offer import View, offer
from moorage_scheduler.core.packing import Mode
from moorage_scheduler.core.request import LlamaCppOptions
from moorage_scheduler.core.sieve import sift

ONE, SEVERAL, COPY = 1, 4, 6
UNIT = Unit(on_gpu=Parts(weights=10), on_cpu=Parts(weights=10))
PROFILE = MemoryProfile(
    units=(UNIT,) * 4,
    per_gpu={kind: Parts(compute=ONE) for kind in AcceleratorKind},
    per_gpu_of_several={kind: Parts(compute=SEVERAL) for kind in AcceleratorKind},
    per_gpu_beside_ram={AcceleratorKind.CUDA: Parts(compute=COPY)},
    host=Parts(overhead=100),
    host_beside_gpu=Parts(compute=1),
    host_beside_several=Parts(compute=2),
    host_computing=Parts(compute=3),
    host_alone=Parts(weights=50),
    context_length=512,
)


@pytest.fixture
def claims(paper):
    """What is claimed on some workers: compute, by pool, in the order of the claims; None: nowhere."""

    def claims(*workers, profile=PROFILE, exact=0, **options):
        snapshot = paper.snapshot(*workers)
        request = paper.request(options=LlamaCppOptions(**options))
        sieve = sift(snapshot, request)
        given = offer(snapshot, request, sieve.passed, sieve.cards)
        view = View(snapshot, request, given, PlacementStrategy.BINPACK)
        packing = LayerPacking(lambda _: profile, request.options, exact)
        if len(workers) > 1:
            spot = packing.together(view, 1)[0].spot
        else:
            fits = packing.alone(view)
            if fits.mode[0] == Mode.NOWHERE:
                return None
            spot = packing.settle(view, fits, 0)
        return {claim.pool: claim.parts.get(MemoryPart.COMPUTE, 0) for claim in spot.claims}

    return claims


@pytest.mark.rule("besides")
class TestOnOneWorker:
    def worker(self, paper, *gpus, **others):
        return paper.Worker(name="w", gpus=gpus, **others)

    def test_all_on_one_gpu(self, paper, claims):
        assert claims(self.worker(paper, 40 + ONE)) == {RAM: 1, "w/gpu0": ONE}

    def test_all_on_several(self, paper, claims):
        found = claims(self.worker(paper, 30 + SEVERAL, 10 + SEVERAL))
        assert found == {RAM: 2, "w/gpu1": SEVERAL, "w/gpu0": SEVERAL}

    def test_one_byte_too_few_for_several_leaves_some_in_ram(self, paper, claims):
        found = claims(self.worker(paper, 30 + SEVERAL, 10 + SEVERAL - 1))
        assert found == {RAM: 3, "w/gpu0": ONE + COPY}

    def test_the_gpu_that_is_first_in_the_order_of_layers_has_the_copies(self, paper, claims):
        found = claims(self.worker(paper, 20 + ONE, 10 + ONE + COPY))
        assert found == {RAM: 3, "w/gpu1": ONE + COPY, "w/gpu0": ONE}

    def test_where_the_copies_leave_no_room_for_a_layer_the_gpu_is_not_used(self, paper, claims):
        found = claims(self.worker(paper, 20 + ONE + COPY, 10 + ONE))
        assert found == {RAM: 3, "w/gpu0": ONE + COPY}

    def test_a_kind_that_copies_nothing_has_room_for_more(self, paper, claims):
        rocm = {"kind": AcceleratorKind.ROCM}
        assert claims(self.worker(paper, 20 + ONE, 10 + ONE, **rocm)) == {
            RAM: 3, "w/gpu1": ONE, "w/gpu0": ONE,
        }  # fmt: skip

    def test_by_hand_too(self, paper, claims):
        both = self.worker(paper, 40 + SEVERAL, 10 + SEVERAL)
        assert claims(both, exact=2) == {RAM: 2, "w/gpu1": SEVERAL, "w/gpu0": SEVERAL}
        partly = self.worker(paper, 20 + ONE, 10 + ONE + COPY)
        assert claims(partly, exact=2) == {RAM: 3, "w/gpu1": ONE + COPY, "w/gpu0": ONE}
        assert claims(self.worker(paper, 20 + ONE, 10 + ONE + COPY - 1), exact=2) is None

    def test_what_the_user_wants_on_gpus_only(self, paper, claims):
        exact = self.worker(paper, 20 + ONE + COPY)
        assert claims(exact, gpu_layers=2) == {RAM: 3, "w/gpu0": ONE + COPY}
        assert claims(self.worker(paper, 20 + ONE + COPY - 1), gpu_layers=2) is None

    def test_all_in_ram(self, paper, claims):
        assert claims(self.worker(paper)) == {RAM: 3}

    def test_one_memory_for_both(self, paper, claims):
        copies = replace(PROFILE, per_gpu_beside_ram={AcceleratorKind.METAL: Parts(compute=COPY)})
        mac = {"kind": AcceleratorKind.METAL, "unified": True}
        needs = 40 + 100 + ONE + 3 + COPY
        full = self.worker(paper, 1, ram=needs, **mac)
        assert claims(full, profile=copies, gpu_layers=2) == {RAM: ONE + 3 + COPY}
        short = self.worker(paper, 1, ram=needs - 1, **mac)
        assert claims(short, profile=copies, gpu_layers=2) is None


@pytest.mark.rule("besides")
class TestOnSeveralWorkers:
    def test_all_on_their_gpus(self, paper, claims):
        found = claims(
            paper.Worker(name="a", gpus=(30 + SEVERAL,)), paper.Worker(name="b", gpus=(10 + SEVERAL,))
        )
        assert found == {RAM: 2, "b/gpu0": SEVERAL, "a/gpu0": SEVERAL}

    def test_the_leader_has_the_copies_of_what_is_in_its_ram(self, paper, claims):
        found = claims(
            paper.Worker(name="a", gpus=(20 + ONE, 10 + ONE + COPY)),
            paper.Worker(name="b", gpus=(10 + ONE,)),
            profile=replace(PROFILE, units=(UNIT,) * 6),
        )
        assert found == {RAM: 3, "b/gpu0": ONE, "a/gpu1": ONE + COPY, "a/gpu0": ONE}


@given(
    gpus=st.lists(st.integers(1, 60), max_size=5),
    weights=st.lists(st.integers(1, 30), min_size=1, max_size=8),
    copy=st.integers(0, 20),
    layers=st.none() | st.integers(0, 9),
)
def test_what_is_found_by_columns_can_be_dealt_out_and_no_more(paper, gpus, weights, copy, layers):
    units = tuple(Unit(on_gpu=Parts(weights=size), on_cpu=Parts(weights=size)) for size in weights)
    copies = {kind: Parts(compute=copy) for kind in AcceleratorKind}
    profile = replace(PROFILE, units=units, per_gpu_beside_ram=copies)
    snapshot = paper.snapshot(paper.Worker(name="w", gpus=tuple(gpus)))
    request = paper.request(options=LlamaCppOptions(gpu_layers=layers))
    given = offer(snapshot, request, snapshot.columns.present, sift(snapshot, request).cards)
    found = search(Demand(profile, request.options), given)
    view = View(snapshot, request, given, PlacementStrategy.BINPACK)
    packing = LayerPacking(lambda _: profile, request.options, 0)
    fits = packing.alone(view)
    if found.mode[0] == Mode.NOWHERE:
        return
    spot = packing.settle(view, fits, 0)
    assert spot.gpu_layers == sum(claim.layers for claim in spot.claims if claim.pool != RAM)
    held = {claim.pool: claim.size_bytes for claim in spot.claims}
    assert len(held) == len(spot.claims)
    assert all(size <= gpus[int(pool[-1])] for pool, size in held.items() if pool != RAM)
    assert held[RAM] == found.ram_needed[0]
    assert np.count_nonzero(found.gpus) == (spot.gpu_layers > 0)
