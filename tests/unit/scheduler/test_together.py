"""Several workers that serve one model together, with sizes of which every answer can be worked out by hand."""

from dataclasses import replace
from itertools import permutations

import pytest

from moorage_common.core.placement import (
    OperatingSystem,
    PlacementMode,
    PlacementReason,
    PlacementStrategy,
    Verdict,
)
from moorage_common.core.states import AcceleratorKind
from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.core.layers.packing import LayerPacking
from moorage_scheduler.core.memory import MemoryProfile, Parts, Unit
from moorage_scheduler.core.offer import View, offer
from moorage_scheduler.core.request import LlamaCppOptions, Selection
from moorage_scheduler.core.sieve import sift
from moorage_scheduler.core.sizes import LayerSizes

MIB, GIB = 2**20, 2**30
PARTLY = PlacementMode.DISTRIBUTED_PARTLY
NO_OFFLOAD = LlamaCppOptions(forbid_cpu_offload=True)


def sizes(*blocks, output=10):
    """A model whose blocks take these bytes, wherever they are, and nothing else."""
    return LayerSizes(
        block_weight_bytes=blocks, output_bytes=output, gpu_overhead_bytes=0, ram_overhead_bytes=0
    )


FOUR = sizes(10, 10, 10)
"""Four layers of 10 bytes, the output layer among them."""


@pytest.fixture
def lay(paper):
    """Places a model on a fleet of workers; gives the placement."""

    def lay(*workers, facts=FOUR, tenants=(), copies=(), **request):
        snapshot = paper.snapshot(*workers, tenants=tenants, copies=copies)
        return paper.place(snapshot, paper.request(facts=facts, **request)).placement

    return lay


def on_cards(placement):
    return {claim.pool: claim.layers for claim in placement.claims if claim.pool != RAM}


@pytest.mark.rule("l40s", "primary-usable")
class TestTheCaseThatStartedIt:
    """DeepSeek-R1-UD-IQ2_XXS on three L40S: with Worker2 leading it ran at 1.5 tokens/s, with Worker1 at 3.5."""

    RESERVE = GIB
    L40S = 46_068 * MIB - RESERVE
    CONTEXT = LlamaCppOptions(context_length=8192)

    @pytest.fixture
    def model(self, paper):
        dense, experts = 362_000_000, 3_339_000_000
        facts = paper.facts(
            blocks=61,
            architecture="deepseek2",
            context_length=163_840,
            embedding_length=7168,
            vocabulary_size=129_280,
            feed_forward_lengths=(18_432,) * 61,
            head_counts=(128,) * 61,
            head_counts_kv=(1,) * 61,
            key_length=576,
            value_length=512,
            kv_lora_rank=512,
            expert_count=256,
            expert_used_count=8,
            expert_feed_forward_length=2048,
            output_bytes=760_000_000,
            token_embedding_bytes=521_000_000,
            total_tensor_bytes=196_029_000_000,
        )
        facts = replace(facts, block_bytes=(dense,) * 3 + (experts,) * 58)
        return {"facts": facts, "options": self.CONTEXT}

    def workers(self, paper, first="Worker1", second="Worker2", **changes):
        card = {"reserved": self.RESERVE, "capability": (8, 9), "ram": 256 * GIB}
        return (
            paper.Worker(name=first, gpus=(self.L40S, self.L40S), **{**card, **changes}),
            paper.Worker(name=second, gpus=(self.L40S,), **card),
        )

    def test_the_worker_with_more_usable_memory_leads(self, paper, lay, model):
        found = lay(*self.workers(paper), **model)
        assert (found.worker, found.subordinates, found.mode) == ("Worker1", ("Worker2",), PARTLY)
        assert sum(on_cards(found).values()) == found.gpu_layers == 40
        in_ram = {claim.worker: claim.layers for claim in found.claims if claim.pool == RAM}
        assert in_ram == {"Worker1": 22, "Worker2": 0}
        alone = lay(self.workers(paper)[0], **model)
        assert (alone.mode, alone.gpu_layers) == (PlacementMode.PARTLY, 27)

    @pytest.mark.parametrize("names", [("Worker1", "Worker2"), ("b", "a"), ("a", "b"), ("z", "y")])
    @pytest.mark.parametrize("strategy", PlacementStrategy)
    def test_names_order_strategy_and_seed_change_nothing(self, paper, lay, model, names, strategy):
        for workers in permutations(self.workers(paper, *names)):
            for seed in "abcd":
                found = lay(*workers, **model, seed=seed, strategy=strategy)
                assert (found.worker, found.subordinates) == (names[0], (names[1],))

    def test_if_its_memory_is_taken_the_other_leads(self, paper, lay, model):
        card = 40 * GIB
        taken = [("models/x", "Worker1", {"Worker1/gpu0": card, "Worker1/gpu1": card})]
        found = lay(*self.workers(paper), **model, tenants=taken)
        assert (found.worker, found.subordinates) == ("Worker2", ("Worker1",))
        everything = [("models/x", "Worker1", {f"Worker1/gpu{i}": self.L40S for i in range(2)})]
        found = lay(*self.workers(paper), **model, tenants=everything)
        assert (found.worker, found.subordinates, found.mode) == ("Worker2", (), PlacementMode.PARTLY)

    def test_if_it_is_away_the_other_takes_what_it_can(self, paper, lay, model):
        found = lay(*self.workers(paper, cordoned=True), **model)
        assert (found.worker, found.mode) == ("Worker2", PlacementMode.PARTLY)

    @pytest.mark.rule("primary-ram")
    def test_if_its_ram_is_short_the_other_leads(self, paper, lay, model):
        found = lay(*self.workers(paper, ram=48 * GIB), **model)
        assert (found.worker, found.subordinates, found.mode) == ("Worker2", ("Worker1",), PARTLY)

    @pytest.mark.rule("primary-wish")
    def test_whom_the_user_names_leads(self, paper, lay, model):
        for primary, other in (("Worker2", "Worker1"), ("Worker1", "Worker2")):
            wish = {"selection": Selection(primary_worker=primary)}
            found = lay(*self.workers(paper), **model, **wish)
            assert (found.worker, found.subordinates) == (primary, (other,))

    def test_the_explanation_ranks_the_leaders_and_says_what_each_would_bring(self, paper, model):
        snapshot = paper.snapshot(*self.workers(paper))
        first, second = paper.place(snapshot, paper.request(**model)).explanation.workers
        assert (first.worker, first.rank, first.subordinates, first.mode) == (
            "Worker1",
            1,
            ("Worker2",),
            PARTLY,
        )
        assert (second.worker, second.rank, second.subordinates) == ("Worker2", 2, ("Worker1",))
        assert first.score > second.score
        lead = [{part.scorer: part.value for part in item.score_parts}["lead"] for item in (first, second)]
        assert lead == [1.0, 0.5]


@pytest.mark.rule("preference")
class TestOrderOfPreference:
    def test_one_worker_fully_before_several(self, paper, lay):
        one = paper.Worker(name="one", gpus=(10, 10, 10, 10), ram=0)
        larger = [paper.Worker(name=f"w{i}", gpus=(20,)) for i in range(2)]
        found = lay(one, *larger)
        assert (found.worker, found.mode) == ("one", PlacementMode.SEVERAL_GPUS)

    def test_several_fully_before_one_partly_or_the_cpu(self, paper, lay):
        fleet = [paper.Worker(name="part", gpus=(30,)), paper.Worker(name="b", gpus=(10,))]
        found = lay(*fleet, paper.Worker(name="cpu"))
        assert (found.worker, found.subordinates) == ("part", ("b",))
        assert (found.mode, found.gpu_layers) == (PlacementMode.DISTRIBUTED, 4)
        assert on_cards(found) == {"part/gpu0": 3, "b/gpu0": 1}

    def test_several_partly_only_if_they_hold_more_than_one_alone(self, paper, lay):
        two = paper.Worker(name="two", gpus=(20,))
        for other, mode, layers in ((10, PARTLY, 3), (9, PlacementMode.PARTLY, 2)):
            found = lay(two, paper.Worker(name="other", gpus=(other,)))
            assert (found.worker, found.mode, found.gpu_layers) == ("two", mode, layers)

    def test_layers_that_were_asked_for_and_fit_one_worker_stay_there(self, paper, lay):
        fleet = [paper.Worker(name="a", gpus=(20,)), paper.Worker(name="b", gpus=(20,))]
        for layers, mode in ((2, PlacementMode.PARTLY), (3, PARTLY), (4, PlacementMode.DISTRIBUTED)):
            found = lay(*fleet, options=LlamaCppOptions(gpu_layers=layers))
            assert (found.mode, found.gpu_layers) == (mode, layers)
        assert lay(*fleet, options=LlamaCppOptions(gpu_layers=0)).mode is PlacementMode.CPU

    def test_several_partly_before_one_partly_before_the_cpu(self, paper):
        fleet = [paper.Worker(name="a", gpus=(20,)), paper.Worker(name="b", gpus=(10,))]
        snapshot = paper.snapshot(*fleet, paper.Worker(name="c", gpus=(9,)), paper.Worker(name="cpu"))
        explanation = paper.place(snapshot, paper.request(facts=sizes(*[10] * 9))).explanation
        assert [(item.mode, item.gpu_layers) for item in explanation.workers] == [
            (PARTLY, 3), (PARTLY, 3), (PlacementMode.CPU, 0), (PlacementMode.CPU, 0),
        ]  # fmt: skip
        assert [item.worker for item in explanation.workers[:2]] == ["a", "b"]
        scores = [item.score for item in explanation.workers]
        assert scores == sorted(scores, reverse=True)

    def test_forbidden_they_are_not_considered(self, paper, lay):
        fleet = [paper.Worker(name="a", gpus=(20,)), paper.Worker(name="b", gpus=(20,))]
        alone = Selection(may_distribute=False)
        assert lay(*fleet, selection=alone).mode is PlacementMode.PARTLY
        assert lay(*fleet, selection=alone, options=NO_OFFLOAD) is None
        assert lay(*fleet, options=NO_OFFLOAD).mode is PlacementMode.DISTRIBUTED

    def test_without_the_cpu_they_must_hold_everything(self, paper):
        snapshot = paper.snapshot(paper.Worker(name="a", gpus=(20,)), paper.Worker(name="b", gpus=(19,)))
        outcome = paper.place(snapshot, paper.request(facts=FOUR, options=NO_OFFLOAD))
        assert outcome.placement is None
        assert outcome.explanation.verdict is Verdict.NEVER_FITS
        (count,) = outcome.explanation.reason_counts
        assert (count.reason, count.worker_count) == (PlacementReason.INSUFFICIENT_GPU_MEMORY, 2)

    def test_what_they_could_hold_together_if_they_were_empty_is_not_never(self, paper):
        fleet = [paper.Worker(name="a", gpus=(20,)), paper.Worker(name="b", gpus=(20,))]
        snapshot = paper.snapshot(*fleet, tenants=[("x", "b", {"b/gpu0": 5})])
        outcome = paper.place(snapshot, paper.request(facts=FOUR, options=NO_OFFLOAD))
        assert outcome.explanation.verdict is Verdict.NOT_NOW


class TestWhoLeads:
    @pytest.mark.rule("primary-usable")
    def test_not_who_would_put_most_layers_on_gpus(self, paper, lay):
        """Led by the second, GPUs would hold 7 layers: the output layer of 15 leaves no gap there."""
        model = sizes(*[10] * 9, output=15)
        more, better = paper.Worker(name="more", gpus=(20, 20)), paper.Worker(name="better", gpus=(35,))
        found = lay(more, better, facts=model)
        assert (found.worker, found.gpu_layers) == ("more", 6)
        found = lay(more, better, facts=model, selection=Selection(primary_worker="better"))
        assert (found.worker, found.gpu_layers) == ("better", 7)

    @pytest.mark.rule("primary-usable")
    def test_not_who_has_the_largest_card(self, paper, lay):
        found = lay(paper.Worker(name="large", gpus=(25,)), paper.Worker(name="small", gpus=(15, 15)))
        assert found.worker == "small"

    @pytest.mark.rule("primary-usable")
    def test_cards_that_hold_no_layer_do_not_count(self, paper, lay):
        many = paper.Worker(name="many", gpus=(9, 9, 9, 9, 10))
        assert lay(many, paper.Worker(name="one", gpus=(30,))).worker == "one"

    def test_but_whoever_holds_everything_before_who_does_not(self, paper, lay):
        """The first would leave a gap, and a layer in RAM."""
        model = sizes(10, 10, 10, output=15)
        gap = paper.Worker(name="gap", gpus=(12, 12, 12))
        fleet = (gap, paper.Worker(name="whole", gpus=(25,)))
        found = lay(*fleet, facts=model)
        assert (found.worker, found.mode) == ("whole", PlacementMode.DISTRIBUTED)

    @pytest.mark.rule("primary-ties")
    def test_among_equals_who_needs_fewer_others(self, paper, lay):
        """Each has 30 bytes; with its cards in three pieces one could not lead without two others."""
        model = sizes(*[10] * 5, output=25)
        fleet = [paper.Worker(name="a", gpus=(30,)), *(paper.Worker(name=n, gpus=(15, 15)) for n in "bc")]
        for seed in "abcdef":
            found = lay(*fleet, facts=model, seed=seed)
            assert found.worker == "a"

    @pytest.mark.rule("primary-ties")
    def test_then_who_has_the_artifact_and_then_the_seed_decides(self, paper, lay):
        fleet = [paper.Worker(name=name, gpus=(20,)) for name in ("a", "b")]
        for seed in "abcdef":
            assert lay(*fleet, seed=seed, copies=[("artifacts/a", "b")]).worker == "b"
        leaders = {seed: lay(*fleet, seed=seed).worker for seed in "abcdefgh"}
        assert set(leaders.values()) == {"a", "b"}
        assert leaders == {seed: lay(*reversed(fleet), seed=seed).worker for seed in leaders}

    @pytest.mark.rule("primary-ram")
    def test_ram_that_is_short_for_what_is_left_passes_the_lead_on(self, paper, lay):
        model = sizes(*[10] * 9)
        fleet = [paper.Worker(name="a", gpus=(30,), ram=49), paper.Worker(name="b", gpus=(20,), ram=50)]
        assert lay(*fleet, facts=model).worker == "b"
        assert lay(replace(fleet[0], ram=50), fleet[1], facts=model).worker == "a"
        assert lay(*(replace(worker, ram=49) for worker in fleet), facts=model) is None

    @pytest.mark.rule("primary-wish")
    def test_a_worker_without_gpus_never_leads(self, paper, lay):
        fleet = [paper.Worker(name="a", gpus=(20,)), paper.Worker(name="b", gpus=(20,))]
        cpu = paper.Worker(name="cpu", ram=1)
        wish = Selection(primary_worker="cpu")
        assert lay(*fleet, cpu, options=NO_OFFLOAD, selection=wish) is None

    def test_the_nominated_leader_is_kept_though_another_is_better(self, paper, lay):
        fleet = [paper.Worker(name=f"w{i}", gpus=(20 + i,)) for i in range(9)]
        assert lay(*fleet).worker == "w8"
        assert lay(*fleet, nominated_worker="w0").worker == "w0"

    def test_a_nominated_worker_that_takes_it_alone_is_kept(self, paper, lay):
        fleet = [paper.Worker(name=name, gpus=(20,)) for name in ("a", "b")]
        found = lay(*fleet, paper.Worker(name="cpu"), nominated_worker="cpu")
        assert (found.worker, found.mode) == ("cpu", PlacementMode.CPU)


class TestMembers:
    @pytest.mark.rule("fewer-workers")
    def test_as_few_as_will_do_the_largest_first(self, paper, lay):
        fleet = [paper.Worker(name=f"w{size}", gpus=(size,)) for size in (10, 15, 20, 25, 30)]
        found = lay(*fleet, facts=sizes(*[10] * 4))
        assert (found.worker, found.subordinates) == ("w30", ("w25",))

    @pytest.mark.parametrize("cards", [1, 4])
    @pytest.mark.rule("many-gpus")
    def test_more_than_sixteen_gpus_are_no_other_case(self, paper, lay, cards):
        fleet = [paper.Worker(name=f"w{i}", gpus=(10,) * cards, ram=0) for i in range(40 // cards)]
        found = lay(*fleet, facts=sizes(*[10] * 39))
        assert (found.mode, len(on_cards(found))) == (PlacementMode.DISTRIBUTED, 40)
        assert set(on_cards(found).values()) == {1}
        assert len(found.subordinates) == 40 // cards - 1

    def test_whose_engine_cannot_work_with_others_stays_out(self, paper, lay):
        fleet = [paper.Worker(name="a", gpus=(20,)), paper.Worker(name="b", gpus=(10,))]
        hermit = paper.Worker(name="hermit", gpus=(30,), distributes=False)
        found = lay(*fleet, hermit)
        assert (found.worker, found.mode, found.gpu_layers) == ("hermit", PlacementMode.PARTLY, 3)
        found = lay(*fleet, paper.Worker(name="c", gpus=(10,)), hermit)
        assert {found.worker, *found.subordinates} == {"a", "b", "c"}

    @pytest.mark.parametrize(
        "change",
        [
            {"cordoned": True},
            {"draining": True},
            {"maintenance": True},
            {"installed": False},
            {"version": "2"},
        ],
    )
    def test_whom_a_filter_rejects_stays_out(self, paper, lay, change):
        fleet = [paper.Worker(name="a", gpus=(20,)), paper.Worker(name="b", gpus=(20,), **change)]
        request = {"options": NO_OFFLOAD, "engine_version": "1"}
        assert lay(*fleet, **request) is None
        assert lay(fleet[0], replace(fleet[1], name="c"), paper.Worker(name="d", gpus=(20,)), **request)

    def test_who_was_not_selected_stays_out(self, paper, lay):
        fleet = [paper.Worker(name=name, gpus=(20,), labels=(("zone", name),)) for name in "abc"]
        found = lay(*fleet, workers=["a", "b"])
        assert {found.worker, *found.subordinates} == {"a", "b"}
        assert lay(*fleet, labels={"zone": "a"}, options=NO_OFFLOAD) is None

    def test_a_distributed_vllm_instance_is_no_obstacle_to_another_engine(self, paper, lay):
        fleet = [paper.Worker(name=n, gpus=(20,), serves="models/x/instances/0") for n in "ab"]
        assert lay(*fleet).mode is PlacementMode.DISTRIBUTED

    def test_nobody_is_told_to_be_too_small_who_serves(self, paper):
        fleet = [paper.Worker(name=name, gpus=(20,)) for name in "ab"]
        snapshot = paper.snapshot(*fleet, paper.Worker(name="small", gpus=(9,)))
        explanation = paper.place(snapshot, paper.request(facts=FOUR, options=NO_OFFLOAD)).explanation
        assert {item.worker for item in explanation.workers if item.rank} == {"a", "b"}
        (rejected,) = [item for item in explanation.workers if item.rejections]
        assert rejected.worker == "small"
        (count,) = explanation.reason_counts
        assert (count.reason, count.worker_count) == (PlacementReason.INSUFFICIENT_GPU_MEMORY, 1)


@pytest.mark.rule("unified-once")
class TestUnifiedMemory:
    def mac(self, paper, name, ram):
        return paper.Worker(
            name=name, ram=ram, gpus=(1,), kind=AcceleratorKind.METAL, unified=True, system=OperatingSystem.DARWIN
        )  # fmt: skip

    def test_a_member_holds_its_layers_in_its_one_memory(self, paper, lay):
        found = lay(paper.Worker(name="a", gpus=(30,)), self.mac(paper, "mac", 10))
        assert (found.worker, found.subordinates) == ("a", ("mac",))
        assert found.mode is PlacementMode.DISTRIBUTED
        assert {(c.worker, c.pool): c.layers for c in found.claims if c.layers} == {
            ("a", "a/gpu0"): 3,
            ("mac", RAM): 1,
        }

    def test_two_of_them_serve_what_neither_holds(self, paper, lay):
        found = lay(self.mac(paper, "a", 30), self.mac(paper, "b", 10))
        assert (found.worker, found.mode, found.gpu_layers) == ("a", PlacementMode.DISTRIBUTED, 4)
        assert lay(self.mac(paper, "a", 29), self.mac(paper, "b", 10)) is None

    def test_the_one_that_leads_counts_what_its_ram_holds(self, paper, lay):
        model = replace(FOUR, ram_overhead_bytes=5)
        other = self.mac(paper, "b", 10)
        found = lay(self.mac(paper, "a", 35), other, facts=model)
        assert sum(c.size_bytes for c in found.claims if c.worker == "a") == 35
        assert lay(self.mac(paper, "a", 34), other, facts=model) is None


class TestWhatOthersCost:
    """Bytes on each GPU of another worker, and in its RAM."""

    PROFILE = MemoryProfile(
        units=(Unit(on_gpu=Parts(weights=10), on_cpu=Parts(weights=10)),) * 4,
        per_gpu={kind: Parts(compute=2) for kind in AcceleratorKind},
        per_gpu_of_several={kind: Parts(compute=2) for kind in AcceleratorKind},
        host=Parts(overhead=7),
        context_length=512,
        per_remote_gpu=Parts(overhead=3),
        host_remote=Parts(overhead=5),
    )

    @pytest.fixture
    def teams(self, paper):
        def teams(*workers, **others):
            snapshot, request = paper.snapshot(*workers), paper.request(**others)
            sieve = sift(snapshot, request)
            view = View(
                snapshot,
                request,
                offer(snapshot, request, sieve.passed, sieve.cards),
                PlacementStrategy.SPREAD,
            )
            packing = LayerPacking(lambda _: self.PROFILE, request.options, 0)
            return view, packing.together(view, 5)

        return teams

    def test_is_claimed_where_it_falls_due(self, paper, teams):
        _, (best, _) = teams(paper.Worker(name="a", gpus=(32,)), paper.Worker(name="b", gpus=(15,)))
        assert [(c.worker, c.pool, c.size_bytes) for c in best.spot.claims] == [
            ("a", RAM, 7), ("b", RAM, 5), ("b", "b/gpu0", 15), ("a", "a/gpu0", 32),
        ]  # fmt: skip

    def test_one_byte_too_few_and_the_worker_holds_nothing(self, paper, teams):
        _, found = teams(paper.Worker(name="a", gpus=(32,)), paper.Worker(name="b", gpus=(14,)))
        assert [team.spot.claims[0].worker for team in found] == ["b"]
        _, found = teams(
            paper.Worker(name="a", gpus=(32,)), paper.Worker(name="b", gpus=(14,)), options=NO_OFFLOAD
        )
        assert found == ()

    def test_a_worker_whose_ram_is_short_of_it_only_leads(self, paper, teams):
        short = paper.Worker(name="b", gpus=(32,), ram=4)
        assert teams(paper.Worker(name="a", gpus=(42,)), short)[1] == ()
        view, (only,) = teams(paper.Worker(name="a", gpus=(35,)), replace(short, gpus=(36,), ram=6, name="c"))
        assert view.worker(only.leader) == "a"

    def test_one_memory_holds_it_beside_the_layers(self, paper, teams):
        mac = {"gpus": (1,), "kind": AcceleratorKind.METAL, "unified": True}
        lead = paper.Worker(name="a", gpus=(32,))
        _, (best, *_) = teams(lead, paper.Worker(name="mac", ram=20, **mac), options=NO_OFFLOAD)
        assert sum(c.size_bytes for c in best.spot.claims if c.worker == "mac") == 20
        assert teams(lead, paper.Worker(name="mac", ram=19, **mac), options=NO_OFFLOAD)[1] == ()
