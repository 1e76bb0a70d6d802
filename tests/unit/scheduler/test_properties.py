"""What holds of every placement, on random fleets and models, for every engine."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moorage_common.core.placement import PlacementMode, PlacementStrategy, Verdict
from moorage_common.core.states import AcceleratorKind, EngineKind, WorkerState
from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.core.request import GpuWish, LlamaCppOptions, Selection, VllmOptions, tenant_of
from moorage_scheduler.core.sizes import LayerSizes, VllmSizes
from moorage_scheduler.core.snapshot import column_names
from moorage_scheduler.filters import FILTERS

MIB = 2**20
MEMORY = st.integers(0, 24).map(lambda step: step * 128 * MIB)
SMALL = st.integers(1, 8).map(lambda step: step * 128 * MIB)
DISTRIBUTED = {PlacementMode.DISTRIBUTED, PlacementMode.DISTRIBUTED_PARTLY}
WISHES = [
    GpuWish(worker="w0", uuid="w0/gpu0"), GpuWish(worker="w1", uuid="w1/gpu1"), GpuWish(worker="?", uuid="?"),
    GpuWish(worker="w2", kind=AcceleratorKind.CUDA, index=2),
]  # fmt: skip
FILTERED = {rule.reason for rule in FILTERS}
ODDITIES = [
    {"state": WorkerState.UNREACHABLE}, {"state": WorkerState.NOT_READY}, {"cordoned": True},
    {"draining": True}, {"maintenance": True}, {"installed": False}, {"system": None}, {"architecture": None},
    {"drives": frozenset()}, {"version": "2"}, {"distributes": False}, {"disk_free": 5}, {"driver": (1,)},
    {"serves": "models/x/instances/0"},
]  # fmt: skip


def groups(gpus):
    """Of linked cards, or cards on one switch: known of all of a worker's, or of none."""
    return st.just(()) | st.tuples(*[st.sampled_from(["", "x", "y"])] * len(gpus))


@st.composite
def fleets(draw, paper, engine, *, most=6, usable=False):
    """Paper workers of every sort: with one kind of cards or several, odd ones, used by others."""
    workers = []
    for index in range(draw(st.integers(0, most))):
        unified = draw(st.booleans()) and draw(st.booleans())
        gpus = tuple(draw(st.lists(MEMORY, max_size=4)))
        kinds = (draw(st.sampled_from(AcceleratorKind)),) * len(gpus)
        if not unified and draw(st.booleans()) and draw(st.booleans()):
            kinds = tuple(draw(st.sampled_from(AcceleratorKind)) for _ in gpus)
        foreign = tuple((f"w{index}/gpu{i}", draw(MEMORY) // 4) for i in range(len(gpus)) if not unified)
        worker = paper.Worker(
            name=f"w{index}", ram=draw(MEMORY), gpus=gpus, kinds=kinds, unified=unified and bool(gpus),
            foreign=((RAM, draw(MEMORY) // 4), *foreign), engine=engine,
            labels=draw(st.sampled_from([(), (("zone", "a"),), (("zone", "b"),)])),
            links=draw(groups(gpus)), switches=draw(groups(gpus)),
        )  # fmt: skip
        oddity = {} if usable else draw(st.sampled_from([{}] * 14 + ODDITIES))
        workers.append(replace(worker, **oddity))
    return workers


@st.composite
def small_fleets(draw, paper, engine, *, most=6, usable=False):
    """Workers with small cards, mostly of one kind: what a model of some size can lie on only together."""
    workers = []
    for index in range(draw(st.integers(2, most))):
        gpus = tuple(draw(st.lists(SMALL, min_size=1, max_size=3)))
        kind = draw(st.sampled_from([AcceleratorKind.CUDA] * 4 + [AcceleratorKind.ROCM]))
        worker = paper.Worker(
            name=f"w{index}", ram=draw(st.integers(1, 40)) * 64 * MIB, gpus=gpus, kind=kind, engine=engine,
            labels=draw(st.sampled_from([(("zone", "a"),)] * 4 + [()])),
            unified=draw(st.sampled_from([False] * 6 + [True])),
            links=draw(groups(gpus)), switches=draw(groups(gpus)),
        )  # fmt: skip
        oddity = {} if usable else draw(st.sampled_from([{}] * 24 + ODDITIES))
        workers.append(replace(worker, **oddity))
    return workers


@st.composite
def layered(draw, paper):
    """What a GGUF model of a few layers is, small or large, and every option of llama.cpp."""
    blocks = draw(st.integers(1, 12))
    facts = replace(
        paper.facts(blocks=blocks, context_length=draw(st.sampled_from([512, 4096, 32768]))),
        block_bytes=tuple(draw(st.integers(0, 300)) * MIB for _ in range(blocks)),
        block_repack_bytes=tuple(draw(st.integers(0, 100)) * MIB for _ in range(blocks)),
        tied_embedding=draw(st.booleans()),
    )
    options = LlamaCppOptions(
        context_length=draw(st.sampled_from([0, 512, 8192, 65536])),
        parallel_slots=draw(st.sampled_from([1, 4])),
        gpu_layers=draw(st.one_of(st.none(), st.none(), st.integers(0, 14))),
        forbid_cpu_offload=draw(st.booleans()),
    )
    return {"facts": facts, "options": options}


@st.composite
def layered_in_bytes(draw):
    """What a model of many layers needs in bytes: nothing but its layers, so that it fills what it can."""
    blocks = draw(st.integers(4, 16))
    size = draw(st.integers(60, 300))
    facts = LayerSizes(
        block_weight_bytes=tuple((size + draw(st.integers(-20, 20))) * MIB for _ in range(blocks)),
        output_bytes=draw(st.integers(0, 300)) * MIB,
        gpu_compute_bytes=draw(st.sampled_from([0, 10])) * MIB,
        gpu_overhead_bytes=0,
        ram_overhead_bytes=draw(st.integers(0, 10)) * MIB,
    )
    options = LlamaCppOptions(
        gpu_layers=draw(st.one_of(st.none(), st.none(), st.integers(0, 14))),
        forbid_cpu_offload=draw(st.booleans()),
    )
    return {"facts": facts, "options": options}


@st.composite
def sharded(draw):
    """What a model for vLLM needs, small or large, and the options that its shapes depend on."""
    blocks = draw(st.integers(1, 12))
    facts = VllmSizes(
        block_weight_bytes=(draw(st.integers(20, 400)) * MIB,) * blocks,
        output_bytes=draw(st.integers(0, 100)) * MIB,
        token_embedding_bytes=draw(st.integers(0, 100)) * MIB,
        kv_bytes_per_token_per_block=draw(st.sampled_from([0, 4096])),
        gpu_compute_bytes=draw(st.integers(0, 100)) * MIB,
        gpu_overhead_bytes=0,
        ram_overhead_bytes=draw(st.integers(0, 200)) * MIB,
        attention_head_count=draw(st.sampled_from([0, 4, 6, 8])),
        context_length=4096,
    )
    options = VllmOptions(
        gpu_memory_utilization=draw(st.sampled_from([None, 0.5, 0.9, 1.0])),
        tensor_parallel_size=draw(st.sampled_from([0, 0, 0, 1, 2])),
        pipeline_parallel_size=draw(st.sampled_from([0, 0, 0, 1, 2])),
        data_parallel_size=draw(st.sampled_from([1, 1, 1, 2])),
    )
    return {"facts": facts, "vllm": options}


@st.composite
def cases(draw, paper, **options):
    """A fleet, and what is to be placed there."""
    engine = draw(st.sampled_from([EngineKind.LLAMA_CPP, EngineKind.LLAMA_CPP, EngineKind.VLLM]))
    sort = draw(st.sampled_from([fleets, small_fleets]))
    workers = draw(sort(paper, engine, **options))
    model = draw(sharded())
    if engine is EngineKind.LLAMA_CPP:
        model = draw(layered(paper) if sort is fleets else layered_in_bytes())
    request = paper.request(
        engine=engine,
        engine_version=draw(st.sampled_from(["", "", "1", ">=1,<2"])),
        artifact_bytes=10,
        seed=draw(st.sampled_from("abc")),
        strategy=draw(st.sampled_from([None, *PlacementStrategy])),
        last_worker=draw(st.sampled_from(["", "w0", "w1"])),
        labels=draw(st.sampled_from([{}, {}, {}, {"zone": "a"}])),
        **model,
    )
    selection = replace(
        request.selection,
        primary_worker=draw(st.sampled_from(["", "", "", "w0"])) if workers else "",
        may_distribute=draw(st.sampled_from([True, True, True, False])),
    )
    return workers, replace(request, selection=selection)


@pytest.fixture(scope="module")
def drawn(paper):
    """Strategies over paper fleets."""
    return lambda **options: cases(paper, **options)


def said(explanation):
    return {item.worker: [r.reason for r in item.rejections] for item in explanation.workers}


def members(placement):
    return {placement.worker, *placement.subordinates}


def cards(placement):
    return {(claim.worker, claim.pool) for claim in placement.claims if claim.pool != RAM}


def check_nothing_is_overcommitted(snapshot):
    columns = snapshot.columns
    assert (columns.claimed <= np.maximum(columns.capacity - columns.foreign, 0)).all()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.rule("available")
def test_no_pool_ever_gives_more_than_it_has(paper, drawn, data):
    workers, request = data.draw(drawn())
    snapshot = paper.snapshot(*workers)
    for number in range(6):
        placement = paper.place(snapshot, replace(request, seed=str(number))).placement
        if placement is None:
            break
        assert all(claim.size_bytes >= 0 for claim in placement.claims)
        shape = placement.parallel
        times = shape.tensor * shape.data if shape else 1
        assert sum(claim.layers for claim in placement.claims) == placement.total_layers * times
        snapshot = snapshot.with_tenant(f"i{number}", tenant_of(request.model, placement))
        check_nothing_is_overcommitted(snapshot)
        assert not placement.is_exclusive or snapshot.columns.exclusive.max() == 1


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_who_serves_holds_something_and_who_holds_something_serves(paper, drawn, data):
    workers, request = data.draw(drawn())
    placement = paper.place(paper.snapshot(*workers), request).placement
    if placement is None:
        return
    helping = {claim.worker for claim in placement.claims if claim.layers}
    assert helping | {placement.worker} == members(placement)
    assert len(members(placement)) == 1 + len(placement.subordinates)
    assert (placement.mode in DISTRIBUTED) == bool(placement.subordinates)
    if placement.subordinates:
        assert request.selection.may_distribute
        assert request.selection.primary_worker in ("", placement.worker)
        assert all(worker.distributes for worker in workers if worker.name in members(placement))
        versions = {worker.version for worker in workers if worker.name in members(placement)}
        assert versions == {placement.engine_version}
        assert placement.worker in helping, "the one that leads has GPUs of its own"
    unified = {worker.name for worker in workers if worker.unified}
    if request.engine is EngineKind.LLAMA_CPP and not members(placement) & unified:
        on_gpus = [claim.layers for claim in placement.claims if claim.pool != RAM]
        assert sum(on_gpus) == placement.gpu_layers
        assert all(on_gpus)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.rule("replay", "mixed-host")
def test_the_order_of_workers_and_of_their_cards_never_matters(paper, drawn, data):
    workers, request = data.draw(drawn())
    fleet = paper.fleet()
    for paper_worker in data.draw(st.permutations(workers)):
        worker, condition = paper_worker.parts()
        cards = tuple(data.draw(st.permutations(worker.accelerators)))
        fleet.put_worker(replace(worker, accelerators=cards), condition)
    apart = paper.snapshot(*(replace(worker, serves="") for worker in workers))
    assert paper.place(fleet.snapshot(), request) == paper.place(apart, request)
    gpus = frozenset(data.draw(st.sets(st.sampled_from(WISHES), max_size=2)))
    by_hand = replace(request, selection=replace(request.selection, gpus=gpus))
    assert paper.place(fleet.snapshot(), by_hand) == paper.place(apart, by_hand)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.rule("replay")
def test_the_names_of_workers_never_matter_but_for_exact_ties(paper, drawn, data):
    workers, request = data.draw(drawn())
    primary = request.selection.primary_worker
    request = replace(request, last_worker="")
    renamed = [replace(w, name=f"other{i}", foreign=_renamed(w, i)) for i, w in enumerate(workers)]
    selection = replace(request.selection, primary_worker=primary and "other0")
    one = paper.place(paper.snapshot(*workers), request)
    other = paper.place(paper.snapshot(*renamed), replace(request, selection=selection))
    assert one.explanation.verdict == other.explanation.verdict
    assert one.explanation.reason_counts == other.explanation.reason_counts
    # Scores that differ by less than this are equal, see `ranking.rank`.
    scores = [[round(w.score, 6) for w in outcome.explanation.workers] for outcome in (one, other)]
    assert scores[0] == scores[1]
    assert [w.mode for w in one.explanation.workers] == [w.mode for w in other.explanation.workers]
    if one.placement:
        assert one.placement.score == pytest.approx(other.placement.score)


def _renamed(worker, index):
    return tuple((pool.replace(worker.name, f"other{index}"), size) for pool, size in worker.foreign)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.rule("hand-same")
def test_choosing_by_hand_the_workers_that_were_chosen_automatically_gives_the_same(paper, drawn, data):
    workers, request = data.draw(drawn())
    snapshot = paper.snapshot(*workers)
    automatic = paper.place(snapshot, request).placement
    if automatic and request.selection.primary_worker in {"", *members(automatic)}:
        chosen = replace(request.selection, workers=frozenset(members(automatic)))
        assert paper.place(snapshot, replace(request, selection=chosen)).placement == automatic


@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.rule("hand-same")
def test_choosing_by_hand_the_gpus_that_were_chosen_automatically_gives_the_same(paper, drawn, data):
    workers, request = data.draw(drawn(usable=True))
    snapshot = paper.snapshot(*workers)
    automatic = paper.place(snapshot, request).placement
    if automatic is None or not cards(automatic):
        return
    if any(worker.unified for worker in workers if worker.name in members(automatic)):
        return
    if request.selection.primary_worker not in ("", automatic.worker):
        return
    for wishes in (_by_uuid(automatic), _by_place(snapshot, automatic)):
        by_hand = replace(request, selection=replace(request.selection, gpus=wishes))
        again = paper.place(snapshot, by_hand)
        assert again.placement, again.explanation
        # A score tells how a place compares with others, and here there are none.
        assert replace(again.placement, score=automatic.score) == automatic


def _by_uuid(placement):
    return frozenset(GpuWish(worker=worker, uuid=pool) for worker, pool in cards(placement))


def _by_place(snapshot, placement):
    wishes = set()
    for worker, pool in cards(placement):
        (card,) = (c for c in snapshot.rows.at(snapshot.rows.slots[worker]).accelerators if c.uuid == pool)
        wishes.add(GpuWish(worker=worker, kind=card.kind, index=card.index))
    return frozenset(wishes)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.rule("hand-exact")
def test_all_chosen_gpus_are_used_or_none(paper, drawn, data):
    workers, request = data.draw(drawn())
    snapshot = paper.snapshot(*workers)
    there = [(w.name, w.gpu(i)) for w in workers if not w.unified for i in range(len(w.gpus))]
    if not there:
        return
    chosen = data.draw(st.sets(st.sampled_from(there), min_size=1, max_size=5))
    wanted = data.draw(st.integers(0, len(chosen)))
    gpus = frozenset(GpuWish(worker=worker, uuid=uuid) for worker, uuid in chosen)
    selection = replace(request.selection, gpus=gpus, gpus_per_replica=wanted)
    outcome = paper.place(snapshot, replace(request, selection=selection), explain_workers=100)
    check_the_numbers_add_up(outcome)
    if outcome.placement:
        assert cards(outcome.placement) <= chosen
        assert len(cards(outcome.placement)) == (wanted or len(chosen))
    replica = outcome.placement
    while replica:
        snapshot = snapshot.with_tenant(str(len(snapshot.replicas)), tenant_of(request.model, replica))
        check_nothing_is_overcommitted(snapshot)
        again = paper.place(snapshot, replace(request, selection=selection)).placement
        if again is None or not data.draw(st.booleans()):
            break
        replica = again


@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.rule("hand-reason")
def test_what_is_refused_by_hand_is_refused_automatically_where_there_is_nothing_else(paper, drawn, data):
    workers, request = data.draw(drawn())
    request = replace(request, selection=Selection())
    chosen = data.draw(st.sets(st.sampled_from(workers))) if workers else set()
    by_hand = paper.place(
        paper.snapshot(*workers),
        replace(request, selection=Selection(workers=frozenset(w.name for w in chosen))),
    )
    alone = paper.place(paper.snapshot(*chosen), request)
    if chosen:
        assert (by_hand.placement is None) == (alone.placement is None)
        assert by_hand.explanation.verdict == alone.explanation.verdict
        told = said(by_hand.explanation)
        assert {worker: told[worker] for worker in said(alone.explanation)} == said(alone.explanation)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.rule("hand-reason")
def test_gpus_that_are_refused_by_hand_are_refused_automatically_where_there_are_no_others(
    paper, drawn, data
):
    workers, request = data.draw(drawn())
    # Else llama.cpp could leave the GPUs alone, and would.
    options = replace(request.options, gpu_layers=None, forbid_cpu_offload=True)
    request = replace(request, options=options, selection=Selection())
    chosen = {w.name: data.draw(st.integers(0, len(w.gpus) - 1)) for w in workers if w.gpus}
    if not chosen:
        return
    gpus = frozenset(GpuWish(worker=w.name, uuid=w.gpu(chosen[w.name])) for w in workers if w.gpus)
    by_hand = paper.place(
        paper.snapshot(*workers), replace(request, selection=Selection(gpus=gpus)), explain_workers=100
    )
    fleet = paper.fleet()
    for paper_worker in workers:
        if paper_worker.gpus:
            worker, condition = paper_worker.parts()
            only = worker.accelerators[chosen[worker.name]]
            fleet.put_worker(replace(worker, accelerators=(only,)), condition)
    automatic = said(paper.place(fleet.snapshot(), request, explain_workers=100).explanation)
    for worker, reasons in said(by_hand.explanation).items():
        if worker in chosen and reasons and reasons[0] in FILTERED:
            assert by_hand.placement is None
            assert automatic[worker] == reasons


@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.rule("dry-run")
def test_a_dry_run_changes_nothing_and_answers_the_same_again(paper, drawn, data):
    workers, request = data.draw(drawn())
    fleet = paper.fleet(*workers)
    snapshot = fleet.snapshot()
    before = {name: getattr(snapshot.columns, name).copy() for name in column_names()}
    kept = (dict(snapshot.replicas), dict(snapshot.exclusives), dict(snapshot.copies))
    outcome = paper.place(snapshot, request)
    assumed = snapshot
    for number in range(3):
        dry = paper.place(assumed, replace(request, seed=f"dry{number}")).placement
        if dry is None:
            break
        assumed = assumed.with_tenant(f"dry{number}", tenant_of(request.model, dry))
    assert paper.place(snapshot, request) == outcome
    assert all(np.array_equal(getattr(snapshot.columns, name), before[name]) for name in column_names())
    assert kept == (snapshot.replicas, snapshot.exclusives, snapshot.copies)
    assert paper.place(fleet.snapshot(), request) == outcome
    assert paper.place(paper.snapshot(*workers), request) == outcome


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_what_is_assumed_is_what_becomes_of_it(paper, drawn, data):
    workers, request = data.draw(drawn())
    fleet = paper.fleet(*workers)
    placement = paper.place(fleet.snapshot(), request).placement
    if placement:
        tenant = tenant_of(request.model, placement)
        assumed = fleet.snapshot().with_tenant("i", tenant)
        fleet.put_tenant("i", tenant)
        bound = fleet.snapshot()
        for name in column_names():
            assert np.array_equal(getattr(assumed.columns, name), getattr(bound.columns, name)), name
        assert (assumed.replicas, assumed.exclusives) == (bound.replicas, bound.exclusives)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.rule("every-worker", "score-parts", "counts-first")
def test_the_numbers_of_an_explanation_add_up(paper, drawn, data):
    workers, request = data.draw(drawn())
    named = data.draw(st.sampled_from([frozenset(), frozenset(), frozenset({"w0", "ghost"})]))
    gpus = data.draw(st.sets(st.sampled_from(WISHES), max_size=2))
    selection = replace(request.selection, workers=named, gpus=frozenset(gpus))
    request = replace(request, selection=data.draw(st.sampled_from([request.selection, selection])))
    outcome = paper.place(paper.snapshot(*workers), request, explain_workers=100)
    check_the_numbers_add_up(outcome)


def check_the_numbers_add_up(outcome):
    explanation, placement = outcome.explanation, outcome.placement
    if explanation.rejections:
        return  # There is no way to put the model anywhere, so nothing was asked of workers.
    ranked = [item for item in explanation.workers if item.rank]
    rejected = [item for item in explanation.workers if item.rejections]
    listed = [item.worker for item in explanation.workers]
    assert len(listed) == len(set(listed)) == len(ranked) + len(rejected)
    helping = {worker for item in ranked if item.rank == 1 for worker in item.subordinates} - set(listed)
    assert len(listed) + len(helping) == explanation.workers_considered
    assert sum(count.worker_count for count in explanation.reason_counts) == len(rejected)
    for count in explanation.reason_counts:
        assert count.worker_count == sum(item.rejections[0].reason is count.reason for item in rejected)
    assert [item.rank for item in ranked] == list(range(1, len(ranked) + 1))
    scores = [round(item.score, 6) for item in ranked]
    assert scores == sorted(scores, reverse=True)
    for item in explanation.workers:
        assert item.score == pytest.approx(sum(part.value * part.weight for part in item.score_parts))
        assert all(0 <= part.value <= 1 for part in item.score_parts)
    for rejection in (r for item in rejected for r in item.rejections if r.unit in ("bytes", "GPUs")):
        assert int(rejection.needed) > int(rejection.available) >= 0
    assert (explanation.verdict is Verdict.PLACED) == (placement is not None)
    if placement:
        (told,) = (item for item in ranked if item.worker == placement.worker)
        assert (told.score, told.mode) == (placement.score, placement.mode)
        assert (told.subordinates, told.gpu_layers) == (placement.subordinates, placement.gpu_layers)
        for claim in placement.claims:
            assert claim.size_bytes == sum(claim.parts.values())


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_one_more_free_worker_never_makes_a_model_homeless(paper, drawn, data):
    workers, request = data.draw(drawn())
    gpus = tuple(data.draw(st.lists(MEMORY, max_size=3)))
    free = paper.Worker(name="more", gpus=gpus, ram=data.draw(MEMORY), engine=request.engine)
    before = paper.place(paper.snapshot(*workers), request)
    after = paper.place(paper.snapshot(*workers, free), request)
    if before.placement:
        assert after.placement
        # What several hold one may now hold alone: that is better, though of another mode.
        alone = before.placement.subordinates and not after.placement.subordinates
        if not alone or after.placement.gpu_layers < before.placement.gpu_layers:
            assert after.placement.score >= before.placement.score
    if before.explanation.verdict is Verdict.NOT_NOW:
        assert after.explanation.verdict is not Verdict.NEVER_FITS


@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.rule("never-or-not-now")
def test_what_fits_now_fits_an_empty_fleet_and_never_fits_means_not_even_that(paper, drawn, data):
    workers, request = data.draw(drawn())
    full, empty = paper.snapshot(*workers), paper.snapshot(*(_emptied(w) for w in workers))
    now, then = paper.place(full, request), paper.place(empty, request)
    if now.placement:
        assert then.placement
    assert (now.explanation.verdict is Verdict.NEVER_FITS) == (then.placement is None)


def _emptied(worker):
    return replace(
        worker, state=WorkerState.READY, cordoned=False, draining=False, maintenance=False, disk_free=None,
        foreign=(), serves="",
    )  # fmt: skip
