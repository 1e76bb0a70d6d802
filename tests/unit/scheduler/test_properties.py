"""What holds of every placement, on random fleets and models."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moorage_common.core.placement import PlacementStrategy, Verdict
from moorage_common.core.states import AcceleratorKind, WorkerState
from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.core.request import LlamaCppOptions, Selection, tenant_of
from moorage_scheduler.core.snapshot import column_names

MIB = 2**20
MEMORY = st.integers(0, 24).map(lambda step: step * 128 * MIB)


@st.composite
def fleets(draw, paper, *, most=6, usable=False):
    """Paper workers of every sort, with tenants on some."""
    workers = []
    for index in range(draw(st.integers(0, most))):
        unified = draw(st.booleans()) and draw(st.booleans())
        oddity = {} if usable else draw(
            st.sampled_from(
                [{}] * 6
                + [
                    {"state": WorkerState.UNREACHABLE}, {"cordoned": True}, {"installed": False},
                    {"system": None}, {"architecture": None}, {"drives": frozenset()},
                ]
            )
        )  # fmt: skip
        gpus = tuple(draw(st.lists(MEMORY, max_size=4)))
        foreign = tuple((f"w{index}/gpu{i}", draw(MEMORY) // 4) for i in range(len(gpus)) if not unified)
        workers.append(
            paper.Worker(
                name=f"w{index}", ram=draw(MEMORY), gpus=gpus, unified=unified and bool(gpus),
                kind=draw(st.sampled_from(AcceleratorKind)), foreign=((RAM, draw(MEMORY) // 4), *foreign),
                labels=draw(st.sampled_from([(), (("zone", "a"),), (("zone", "b"),)])), **oddity,
            )
        )  # fmt: skip
    return workers


@st.composite
def requests(draw, paper):
    """Models of a few layers, small and large, with every option."""
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
    return paper.request(
        facts=facts,
        options=options,
        seed=draw(st.sampled_from("abc")),
        strategy=draw(st.sampled_from([None, *PlacementStrategy])),
        last_worker=draw(st.sampled_from(["", "w0", "w1"])),
        labels=draw(st.sampled_from([{}, {}, {"zone": "a"}])),
    )


@pytest.fixture(scope="module")
def drawn(paper):
    """Strategies over paper fleets."""
    return lambda **options: st.tuples(fleets(paper, **options), requests(paper))


def names(explanation):
    return {item.worker: [r.reason for r in item.rejections] for item in explanation.workers}


def check_nothing_is_overcommitted(snapshot):
    columns = snapshot.columns
    assert (columns.claimed <= np.maximum(columns.capacity - columns.foreign, 0)).all()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_pool_ever_gives_more_than_it_has(paper, drawn, data):
    workers, request = data.draw(drawn())
    snapshot = paper.snapshot(*workers)
    for number in range(6):
        placement = paper.place(snapshot, replace(request, seed=str(number))).placement
        if placement is None:
            break
        assert all(claim.size_bytes >= 0 for claim in placement.claims)
        assert sum(claim.layers for claim in placement.claims) == placement.total_layers
        snapshot = snapshot.with_tenant(f"i{number}", tenant_of(request.model, placement))
        check_nothing_is_overcommitted(snapshot)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_the_order_of_workers_and_of_their_cards_never_matters(paper, drawn, data):
    workers, request = data.draw(drawn())
    fleet = paper.fleet()
    for paper_worker in data.draw(st.permutations(workers)):
        worker, condition = paper_worker.parts()
        cards = tuple(data.draw(st.permutations(worker.accelerators)))
        fleet.put_worker(replace(worker, accelerators=cards), condition)
    assert paper.place(fleet.snapshot(), request) == paper.place(paper.snapshot(*workers), request)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_the_names_of_workers_never_matter_but_for_exact_ties(paper, drawn, data):
    workers, request = data.draw(drawn())
    request = replace(request, last_worker="")
    renamed = [replace(w, name=f"other{i}", foreign=_renamed(w, i)) for i, w in enumerate(workers)]
    one, other = (
        paper.place(paper.snapshot(*workers), request),
        paper.place(paper.snapshot(*renamed), request),
    )
    assert one.explanation.verdict == other.explanation.verdict
    assert one.explanation.reason_counts == other.explanation.reason_counts
    assert [w.score for w in one.explanation.workers] == [w.score for w in other.explanation.workers]
    if one.placement:
        assert one.placement.score == other.placement.score


def _renamed(worker, index):
    return tuple((pool.replace(worker.name, f"other{index}"), size) for pool, size in worker.foreign)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_choosing_by_hand_what_was_chosen_automatically_gives_the_same(paper, drawn, data):
    workers, request = data.draw(drawn())
    snapshot = paper.snapshot(*workers)
    automatic = paper.place(snapshot, request).placement
    if automatic:
        members = frozenset({automatic.worker, *automatic.subordinates})
        chosen = replace(request.selection, workers=members)
        assert paper.place(snapshot, replace(request, selection=chosen)).placement == automatic


@settings(max_examples=150, deadline=None)
@given(data=st.data())
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
        said = names(by_hand.explanation)
        assert {worker: said[worker] for worker in names(alone.explanation)} == names(alone.explanation)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_dry_run_changes_nothing_and_answers_the_same_again(paper, drawn, data):
    workers, request = data.draw(drawn())
    snapshot = paper.snapshot(*workers)
    before = {name: getattr(snapshot.columns, name).copy() for name in column_names()}
    outcome = paper.place(snapshot, request)
    assert paper.place(snapshot, request) == outcome
    assert all(np.array_equal(getattr(snapshot.columns, name), before[name]) for name in column_names())
    assert paper.place(paper.snapshot(*workers), request) == outcome


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_the_numbers_of_an_explanation_add_up(paper, drawn, data):
    workers, request = data.draw(drawn())
    named = data.draw(st.sampled_from([frozenset(), frozenset({"w0", "ghost"})]))
    request = replace(request, selection=replace(request.selection, workers=named))
    explanation = paper.place(paper.snapshot(*workers), request, explain_workers=100).explanation
    ranks = [item.rank for item in explanation.workers if item.rank]
    rejected = [item for item in explanation.workers if item.rejections]
    assert ranks == list(range(1, len(ranks) + 1))
    assert (
        len(ranks) + sum(c.worker_count for c in explanation.reason_counts) == explanation.workers_considered
    )
    assert len(explanation.workers) == explanation.workers_considered == len(ranks) + len(rejected)
    for count in explanation.reason_counts:
        assert count.worker_count == sum(item.rejections[0].reason is count.reason for item in rejected)
    for item in explanation.workers:
        assert item.score == pytest.approx(sum(part.value * part.weight for part in item.score_parts))
        assert all(0 <= part.value <= 1 for part in item.score_parts)
    for rejection in (r for item in rejected for r in item.rejections if r.unit == "bytes"):
        assert int(rejection.needed) > int(rejection.available) >= 0


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_one_more_free_worker_never_makes_a_model_homeless(paper, drawn, data):
    workers, request = data.draw(drawn())
    more = [*workers, replace(paper.Worker(name="more", gpus=(512 * MIB,)), ram=data.draw(MEMORY))]
    before, after = (
        paper.place(paper.snapshot(*workers), request),
        paper.place(paper.snapshot(*more), request),
    )
    if before.placement:
        assert after.placement
        assert after.placement.score >= before.placement.score
    if before.explanation.verdict is Verdict.NOT_NOW:
        assert after.explanation.verdict is not Verdict.NEVER_FITS


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_what_fits_now_fits_an_empty_fleet_and_never_fits_means_not_even_that(paper, drawn, data):
    workers, request = data.draw(drawn())
    full, empty = paper.snapshot(*workers), paper.snapshot(*(_emptied(w) for w in workers))
    now, then = paper.place(full, request), paper.place(empty, request)
    if now.placement:
        assert then.placement
    assert (now.explanation.verdict is Verdict.NEVER_FITS) == (then.placement is None)


def _emptied(worker):
    return replace(worker, state=WorkerState.READY, cordoned=False, foreign=())


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_the_search_over_columns_agrees_with_the_shares_of_one_worker(paper, drawn, data):
    workers, request = data.draw(drawn(usable=True))
    snapshot = paper.snapshot(*workers)
    for worker in workers:
        alone = replace(request, selection=Selection(workers=frozenset({worker.name})))
        placement = paper.place(snapshot, alone).placement
        if placement and not worker.unified:
            on_gpus = sum(claim.layers for claim in placement.claims[1:])
            assert on_gpus == placement.gpu_layers
            assert all(claim.layers for claim in placement.claims[1:])
