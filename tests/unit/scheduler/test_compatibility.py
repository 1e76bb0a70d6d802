"""Machines, cards, versions, disks and paths: who may serve a model before its memory is looked at."""

from dataclasses import replace

import pytest
from vllm_models import QWEN3_32B, QWEN3_32B_FP8

from moorage_common.core.placement import (
    CpuArchitecture,
    OperatingSystem,
    PlacementReason,
    Verdict,
    VllmDtype,
)
from moorage_common.core.states import AcceleratorKind, EngineKind, WorkerState
from moorage_scheduler.core.cluster import RAM, Engine
from moorage_scheduler.core.request import GpuWish, LlamaCppOptions, Selection, VllmOptions
from moorage_scheduler.core.sieve import sift
from moorage_scheduler.filters import FILTERS

GIB = 2**30
CUDA, ROCM, CANN, METAL = (
    AcceleratorKind.CUDA,
    AcceleratorKind.ROCM,
    AcceleratorKind.CANN,
    AcceleratorKind.METAL,
)
VLLM = EngineKind.VLLM


@pytest.fixture
def reasons(paper):
    """What every worker of a fleet is refused for; nothing for one that every filter lets through."""

    def reasons(*workers, copies=(), **request):
        snapshot = paper.snapshot(*workers, copies=copies)
        sieve = sift(snapshot, paper.request(**request))
        slots = snapshot.rows.slots
        return {name: [r.reason for r in sieve.rejections(slot)] for name, slot in slots.items()}

    return reasons


@pytest.fixture
def remedy(paper):
    """The first rejection of a worker."""

    def remedy(worker, **request):
        snapshot = paper.snapshot(worker)
        sieve = sift(snapshot, paper.request(**request))
        return sieve.rejections(snapshot.rows.slots[worker.name])[0]

    return remedy


@pytest.mark.rule("filter-order")
def test_filters_are_asked_from_the_coarsest_to_the_finest():
    assert [rule.reason for rule in FILTERS] == [
        PlacementReason.WORKER_NOT_SELECTED,
        PlacementReason.WORKER_UNREACHABLE,
        PlacementReason.WORKER_NOT_READY,
        PlacementReason.WORKER_MAINTENANCE,
        PlacementReason.WORKER_DRAINING,
        PlacementReason.WORKER_CORDONED,
        PlacementReason.OS_UNSUPPORTED,
        PlacementReason.ARCHITECTURE_UNSUPPORTED,
        PlacementReason.ACCELERATOR_UNSUPPORTED,
        PlacementReason.ENGINE_NOT_INSTALLED,
        PlacementReason.ENGINE_VERSION_UNSUPPORTED,
        PlacementReason.COMPUTE_CAPABILITY_TOO_LOW,
        PlacementReason.DRIVER_TOO_OLD,
        PlacementReason.SOURCE_NOT_ON_WORKER,
        PlacementReason.INSUFFICIENT_DISK,
        PlacementReason.GPU_NOT_SELECTED,
    ]


@pytest.mark.rule("typed-reasons", "every-worker")
def test_a_worker_that_fails_everything_says_everything_in_that_order(paper):
    """But of cards only what the first rule says: there are none left for the others to look at."""
    worst = paper.Worker(
        name="worst", gpus=(1,), labels=(), state=WorkerState.UNREACHABLE, maintenance=True, draining=True,
        cordoned=True, system=None, architecture=None, drives=frozenset(), version="2", driver=(1,),
        disk_free=5,
    )  # fmt: skip
    request = paper.request(
        labels={"zone": "a"}, engine_version="1", local_path="/models/m",
        options=LlamaCppOptions(gpu_layers=1),
    )  # fmt: skip
    (found,) = paper.place(paper.snapshot(worst), request).explanation.workers
    said = [rejection.reason for rejection in found.rejections]
    order = [rule.reason for rule in FILTERS]
    assert said == sorted(said, key=order.index)
    assert set(order) - set(said) == {
        PlacementReason.ENGINE_NOT_INSTALLED,  # it is, in another version,
        PlacementReason.ACCELERATOR_UNSUPPORTED,  # and who knows what the right one would drive
        PlacementReason.COMPUTE_CAPABILITY_TOO_LOW,
        PlacementReason.DRIVER_TOO_OLD,
        PlacementReason.INSUFFICIENT_DISK,  # nothing is fetched
        PlacementReason.GPU_NOT_SELECTED,
    }
    assert all(r.needed and r.available and r.remedy for r in found.rejections)


@pytest.mark.rule("mac-and-linux")
class TestTheCaseThatStartedIt:
    """GPUStack 0.6.0: a ready Mac and a Linux worker that is not ready; automatic said yes, by hand it said no."""

    @pytest.fixture
    def fleet(self, paper):
        zone = (("zone", "lab"),)
        return (
            paper.Worker(
                name="mac", ram=192 * GIB, gpus=(1,), kind=METAL, unified=True, labels=zone, engine=VLLM,
                system=OperatingSystem.DARWIN, architecture=CpuArchitecture.AARCH64,
            ),
            paper.Worker(
                name="linux", ram=256 * GIB, gpus=(80 * GIB,) * 2, labels=zone, engine=VLLM,
                state=WorkerState.NOT_READY,
            ),
        )  # fmt: skip

    WISHES = (
        Selection(),
        Selection(labels={"zone": "lab"}),
        Selection(workers=frozenset({"mac", "linux"})),
        Selection(workers=frozenset({"mac", "linux"}), labels={"zone": "lab"}),
        Selection(gpus=frozenset({GpuWish(worker="linux", uuid="linux/gpu0")})),
        Selection(
            gpus=frozenset(GpuWish(worker="linux", kind=CUDA, index=i) for i in range(2)),
            labels={"zone": "lab"},
        ),
        Selection(gpus=frozenset({GpuWish(worker="mac", kind=METAL, index=0)})),
        Selection(
            gpus=frozenset(
                {GpuWish(worker="mac", uuid="mac/gpu0"), GpuWish(worker="linux", uuid="linux/gpu1")}
            )
        ),
    )

    @pytest.mark.parametrize("selection", WISHES)
    @pytest.mark.parametrize("facts", [QWEN3_32B, QWEN3_32B_FP8])
    def test_both_refuse_and_name_the_system_and_the_state(self, paper, fleet, selection, facts):
        request = paper.request(facts=facts, engine=VLLM, selection=selection)
        outcome = paper.place(paper.snapshot(*fleet), request)
        assert outcome.placement is None
        first = {w.worker: w.rejections[0] for w in outcome.explanation.workers}
        assert first["mac"].reason is PlacementReason.OS_UNSUPPORTED
        assert (first["mac"].needed, first["mac"].available) == ("LINUX", "DARWIN")
        assert first["linux"].reason is PlacementReason.WORKER_NOT_READY
        assert (first["linux"].needed, first["linux"].available) == ("READY", "NOT_READY")
        counts = {item.reason: item.worker_count for item in outcome.explanation.reason_counts}
        assert counts == {PlacementReason.OS_UNSUPPORTED: 1, PlacementReason.WORKER_NOT_READY: 1}

    @pytest.mark.parametrize("selection", WISHES)
    def test_once_the_linux_worker_is_ready_only_the_mac_is_in_the_way(self, paper, fleet, selection):
        mac, linux = fleet[0], replace(fleet[1], state=WorkerState.READY)
        request = paper.request(facts=QWEN3_32B, engine=VLLM, selection=selection)
        outcome = paper.place(paper.snapshot(mac, linux), request)
        chosen = {wish.worker for wish in selection.gpus}
        if "mac" in chosen:
            assert outcome.placement is None
            assert outcome.explanation.verdict is Verdict.NEVER_FITS
        elif not chosen or len(selection.gpus) == 2:
            assert outcome.placement.worker == "linux"

    def test_it_would_fit_if_the_linux_worker_came_back(self, paper, fleet):
        request = paper.request(facts=QWEN3_32B, engine=VLLM)
        assert paper.place(paper.snapshot(*fleet), request).explanation.verdict is Verdict.NOT_NOW
        assert paper.place(paper.snapshot(fleet[0]), request).explanation.verdict is Verdict.NEVER_FITS


@pytest.mark.rule("vllm-platforms")
@pytest.mark.parametrize("kind", AcceleratorKind)
@pytest.mark.parametrize("system", OperatingSystem)
def test_vllm_runs_on_linux_with_cuda_rocm_or_cann_and_llama_cpp_anywhere(paper, reasons, kind, system):
    worker = paper.Worker(name="w", gpus=(GIB,), kind=kind, system=system)
    assert reasons(worker, options=LlamaCppOptions(gpu_layers=1)) == {"w": []}
    said = reasons(replace(worker, engine=VLLM), engine=VLLM, facts=paper.shards())["w"]
    expected = [PlacementReason.OS_UNSUPPORTED] if system is not OperatingSystem.LINUX else []
    expected += [PlacementReason.ACCELERATOR_UNSUPPORTED] if kind is METAL else []
    assert said == expected


def test_vllm_needs_a_card(paper, reasons, remedy):
    cpu = paper.Worker(name="w", engine=VLLM)
    assert reasons(cpu, engine=VLLM, facts=paper.shards())["w"] == [PlacementReason.ACCELERATOR_UNSUPPORTED]
    assert remedy(cpu, engine=VLLM, facts=paper.shards()).available == "none"


class TestWorkersThatAreAway:
    @pytest.mark.rule("hand-ready")
    @pytest.mark.parametrize(
        ("change", "reason", "remedy_says"),
        [
            (
                {"state": WorkerState.UNREACHABLE},
                [PlacementReason.WORKER_UNREACHABLE, PlacementReason.WORKER_NOT_READY],
                "reconnect",
            ),
            ({"state": WorkerState.NOT_READY}, [PlacementReason.WORKER_NOT_READY], "start"),
            ({"maintenance": True}, [PlacementReason.WORKER_MAINTENANCE], "end the maintenance"),
            (
                {"draining": True, "cordoned": True},
                [PlacementReason.WORKER_DRAINING, PlacementReason.WORKER_CORDONED],
                "ends its drain",
            ),
            ({"cordoned": True}, [PlacementReason.WORKER_CORDONED], "uncordon"),
        ],
    )
    def test_are_refused_for_that_automatically_and_by_hand(
        self, paper, reasons, remedy, change, reason, remedy_says
    ):
        away, here = paper.Worker(name="away", **change), paper.Worker(name="here")
        assert reasons(away, here) == {"away": reason, "here": []}
        assert remedy_says in remedy(away).remedy
        for wish in ({}, {"workers": ["away"]}, {"labels": {}}):
            explanation = paper.place(paper.snapshot(away), paper.request(**wish)).explanation
            assert explanation.verdict is Verdict.NOT_NOW
            (count,) = explanation.reason_counts
            assert count.reason is reason[0]
        assert paper.place(paper.snapshot(away, here), paper.request()).placement.worker == "here"

    def test_unreachable_is_told_as_that_and_not_as_not_ready(self, paper):
        away = paper.Worker(name="w", state=WorkerState.UNREACHABLE)
        explanation = paper.place(paper.snapshot(away), paper.request()).explanation
        assert [c.reason for c in explanation.reason_counts] == [PlacementReason.WORKER_UNREACHABLE]


@pytest.mark.rule("mixed-host")
class TestMixedHosts:
    """CUDA and ROCm cards in one worker; a build of the engine drives one kind, the other, or both."""

    MUST = LlamaCppOptions(forbid_cpu_offload=True)

    def host(self, paper, drives, kinds=(CUDA, ROCM, CUDA), **others):
        return paper.Worker(
            name="w", gpus=(24 * GIB,) * len(kinds), kinds=kinds, drives=frozenset(drives), **others
        )

    def cards(self, paper, worker, **request):
        placement = paper.place(paper.snapshot(worker), paper.request(**request)).placement
        return placement and {claim.pool for claim in placement.claims if claim.pool != RAM}

    def test_only_cards_that_the_build_drives_are_used(self, paper):
        large = paper.facts(blocks=20)
        for drives, pools in (({CUDA}, {"w/gpu0", "w/gpu2"}), ({ROCM}, {"w/gpu1"})):
            worker = self.host(paper, drives)
            small = self.cards(paper, worker, options=self.MUST)
            assert small <= pools
            assert self.cards(paper, worker, facts=large) <= pools

    def test_a_build_for_both_may_use_both(self, paper):
        worker = self.host(paper, {CUDA, ROCM})
        assert self.cards(paper, worker, facts=paper.facts(blocks=60), options=self.MUST) == {
            "w/gpu0", "w/gpu1", "w/gpu2",
        }  # fmt: skip

    def test_what_the_one_kind_does_not_hold_the_other_may_not_help_with(self, paper):
        worker = self.host(paper, {CUDA})
        explanation = paper.place(
            paper.snapshot(worker), paper.request(facts=paper.facts(blocks=60), options=self.MUST)
        ).explanation
        (count,) = explanation.reason_counts
        assert count.reason is PlacementReason.INSUFFICIENT_GPU_MEMORY

    def test_the_order_of_the_cards_changes_nothing(self, paper):
        for drives in ({CUDA}, {ROCM}, {CUDA, ROCM}):
            worker, condition = self.host(paper, drives).parts()
            answers = []
            for cards in (worker.accelerators, worker.accelerators[::-1]):
                fleet = paper.fleet()
                fleet.put_worker(replace(worker, accelerators=cards), condition)
                answers.append(paper.place(fleet.snapshot(), paper.request(options=self.MUST)))
            assert answers[0] == answers[1]

    @pytest.mark.rule("one-kind")
    def test_vllm_takes_cards_of_one_kind(self, paper):
        kinds = (ROCM, CUDA, ROCM, CUDA)
        worker = self.host(paper, {CUDA, ROCM}, kinds, engine=VLLM)
        model = {"facts": paper.shards(weight_bytes=30 * GIB, attention_head_count=8), "engine": VLLM}
        assert self.cards(paper, worker, **model) in ({"w/gpu0", "w/gpu2"}, {"w/gpu1", "w/gpu3"})
        four = VllmOptions(tensor_parallel_size=4)
        assert self.cards(paper, worker, **model, vllm=four) is None

    def test_a_kind_that_nobody_drives_is_told(self, paper, remedy):
        found = remedy(self.host(paper, {CANN}), options=self.MUST)
        assert found.reason is PlacementReason.ACCELERATOR_UNSUPPORTED
        assert found.available == "CUDA, ROCM, but LLAMA_CPP there computes on CANN"
        assert found.remedy == "install a build of LLAMA_CPP for CUDA or ROCM on w"

    def test_llama_cpp_does_without_if_it_may(self, paper):
        assert self.cards(paper, self.host(paper, {CANN})) == set()


class TestCardsThatAreTooOld:
    """Of several cards only those that are new enough are used; a worker is refused if none is left."""

    def worker(self, paper, *cards, engine=VLLM, version="0.10.0"):
        worker, condition = paper.Worker(
            name="w", gpus=(80 * GIB,) * len(cards), engine=engine, version=version
        ).parts()
        named = [
            replace(card, capability=capability, driver=driver)
            for card, (capability, driver) in zip(worker.accelerators, cards, strict=True)
        ]
        return replace(worker, accelerators=tuple(named)), condition

    def place(self, paper, *cards, facts=None, **others):
        fleet = paper.fleet()
        engine = others.pop("engine", VLLM)
        fleet.put_worker(*self.worker(paper, *cards, engine=engine, version=others.pop("version", "0.10.0")))
        facts = facts or paper.shards(weight_bytes=10 * GIB)
        return paper.place(fleet.snapshot(), paper.request(facts=facts, engine=engine, **others))

    @pytest.mark.rule("capability")
    def test_only_new_enough_cards_are_used(self, paper):
        fp8 = replace(paper.shards(weight_bytes=10 * GIB), quantization="fp8")
        volta, hopper = ((7, 0), (570,)), ((9, 0), (570,))
        (claim,) = [c for c in self.place(paper, volta, hopper, facts=fp8).placement.claims if c.pool != RAM]
        assert claim.pool == "w/gpu1"
        refused = self.place(paper, volta, volta, facts=fp8).explanation
        (why,) = refused.workers[0].rejections
        assert (why.reason, why.needed, why.available) == (
            PlacementReason.COMPUTE_CAPABILITY_TOO_LOW,
            "7.5",
            "7.0",
        )
        assert refused.verdict is Verdict.NEVER_FITS

    @pytest.mark.rule("capability")
    def test_what_was_asked_to_be_computed_in_counts(self, paper):
        turing = ((7, 5), (570,))
        assert self.place(paper, turing).placement
        wish = VllmOptions(dtype=VllmDtype.BF16)
        (why,) = self.place(paper, turing, vllm=wish).explanation.workers[0].rejections
        assert (why.needed, why.available) == ("8.0", "7.5")

    @pytest.mark.rule("driver")
    def test_an_old_driver_is_refused_with_the_version_that_would_do(self, paper):
        ada = (8, 9)
        assert self.place(paper, (ada, (525, 60))).placement
        (why,) = self.place(paper, (ada, (470, 82, 1))).explanation.workers[0].rejections
        assert (why.reason, why.needed, why.available) == (PlacementReason.DRIVER_TOO_OLD, "525", "470.82.1")
        (why,) = self.place(paper, (ada, (535,)), version="0.32.0+cu130").explanation.workers[0].rejections
        assert (why.needed, why.available) == ("580", "535")

    def test_what_is_not_known_of_a_card_is_taken_for_good(self, paper):
        assert self.place(paper, ((), ())).placement

    def test_llama_cpp_leaves_old_cards_alone_and_runs_on_the_cpu(self, paper):
        placement = self.place(
            paper, ((3, 5), (570,)), engine=EngineKind.LLAMA_CPP, facts=paper.facts()
        ).placement
        assert placement.gpu_layers == 0

    def test_of_two_kinds_the_one_that_the_build_drives_is_told_of(self, paper):
        """The newest card of the worker is of a kind that this build does not drive at all."""
        worker, condition = paper.Worker(
            name="w", gpus=(80 * GIB,) * 2, kinds=(CUDA, ROCM), drives=frozenset({CUDA}), engine=VLLM
        ).parts()
        old, other = worker.accelerators
        cards = (replace(old, capability=(6, 1)), replace(other, capability=(9, 4)))
        fleet = paper.fleet()
        fleet.put_worker(replace(worker, accelerators=cards), condition)
        request = paper.request(facts=paper.shards(), engine=VLLM)
        (why,) = paper.place(fleet.snapshot(), request).explanation.workers[0].rejections
        assert (why.needed, why.available) == ("7.5", "6.1")


@pytest.mark.rule("engine-version")
class TestEngineVersions:
    @pytest.mark.parametrize(
        ("wish", "has", "passes"),
        [
            ("", "0.9.2", True), ("", "", True), ("0.9.2", "0.9.2", True), ("0.9.2", "0.9.1", False),
            (">=0.9,<0.11", "0.10.1", True), (">=0.9,<0.11", "0.11.0", False), (">=0.9", "", False),
            ("b4567", "b4567", True), ("b4567", "b4568", False), (">=0.9", "b4567", False),
            (" 0.9.2 ", "0.9.2", True), ("!=0.9.1", "0.9.2rc1", True), (">=0.10", "0.9.9", False),
        ],
    )  # fmt: skip
    def test_a_version_or_conditions_on_it(self, paper, reasons, wish, has, passes):
        worker = paper.Worker(name="w", version=has)
        expected = [] if passes else [PlacementReason.ENGINE_VERSION_UNSUPPORTED]
        assert reasons(worker, engine_version=wish) == {"w": expected}

    def test_the_remedy_names_what_is_there(self, paper, remedy):
        found = remedy(paper.Worker(name="w", version="0.9.1"), engine_version=">=0.10")
        assert (found.needed, found.available) == (">=0.10", "0.9.1")
        assert found.remedy == "install LLAMA_CPP >=0.10 on w, or ask for 0.9.1"

    def test_of_several_the_latest_is_offered(self, paper):
        worker, condition = paper.Worker(name="w").parts()
        engines = {EngineKind.LLAMA_CPP: tuple(Engine(version=v) for v in ("0.9.1", "0.10.0", ""))}
        fleet = paper.fleet()
        fleet.put_worker(replace(worker, engines=engines), condition)
        (found,) = paper.place(fleet.snapshot(), paper.request(engine_version="1")).explanation.workers
        (why,) = found.rejections
        assert why.available == "0.9.1, 0.10.0, unknown"
        assert why.remedy.endswith("or ask for 0.10.0")

    def test_a_version_that_is_not_known_is_not_offered(self, paper, remedy):
        found = remedy(paper.Worker(name="w", version=""), engine_version="1")
        assert (found.available, found.remedy) == ("unknown", "install LLAMA_CPP 1 on w")

    def test_only_builds_of_that_version_count(self, paper):
        """A worker may have several: the new one drives the card, the old one does not."""
        worker, condition = paper.Worker(name="w", gpus=(24 * GIB,)).parts()
        old, new = Engine(version="1"), Engine(version="2", drives=frozenset({CUDA}), distributes=False)
        fleet = paper.fleet()
        fleet.put_worker(replace(worker, engines={EngineKind.LLAMA_CPP: (old, new)}), condition)
        layers = {
            wish: paper.place(fleet.snapshot(), paper.request(engine_version=wish)).placement.gpu_layers
            for wish in ("", "1", "2")
        }
        assert layers == {"": 5, "1": 0, "2": 5}
        must = paper.request(engine_version="1", options=LlamaCppOptions(gpu_layers=1))
        (why,) = paper.place(fleet.snapshot(), must).explanation.workers[0].rejections
        assert why.available == "CUDA, but LLAMA_CPP there computes on the CPU only"

    def test_another_version_is_no_matter_of_an_engine_that_is_not_there(self, paper, reasons):
        worker = paper.Worker(name="w", installed=False)
        assert reasons(worker, engine_version="1") == {"w": [PlacementReason.ENGINE_NOT_INSTALLED]}


@pytest.mark.rule("local-path")
class TestLocalPaths:
    def test_only_workers_that_have_the_path_pass(self, paper, reasons, remedy):
        fleet = [
            paper.Worker(name="has", paths=frozenset({"/models/m.gguf"}), disk_free=0),
            paper.Worker(name="other", paths=frozenset({"/models/x.gguf", "/models"})),
            paper.Worker(name="none"),
        ]
        path = {"local_path": "/models/m.gguf", "artifact_bytes": GIB}
        missing = [PlacementReason.SOURCE_NOT_ON_WORKER]
        assert reasons(*fleet, **path) == {"has": [], "other": missing, "none": missing}
        found = remedy(fleet[2], **path)
        assert (found.needed, found.available) == ("/models/m.gguf", "nothing there")
        assert found.remedy == "put the model's files at /models/m.gguf on none"

    def test_a_path_that_nobody_has_is_never(self, paper):
        request = paper.request(local_path="/models/m.gguf")
        explanation = paper.place(paper.snapshot(paper.Worker(name="w")), request).explanation
        assert explanation.verdict is Verdict.NEVER_FITS

    def test_without_one_nobody_is_asked_for_it(self, paper, reasons):
        assert reasons(paper.Worker(name="w")) == {"w": []}


@pytest.mark.rule("disk")
class TestDiskRoom:
    def test_an_artifact_goes_where_it_is_or_has_room(self, paper, reasons):
        fleet = [
            paper.Worker(name="roomy", disk_free=GIB),
            paper.Worker(name="full", disk_free=GIB - 1),
            paper.Worker(name="holder", disk_free=0),
            paper.Worker(name="unknown"),
        ]
        copies = [("artifacts/a", "holder"), ("artifacts/a", "gone"), ("artifacts/x", "full")]
        assert reasons(*fleet, artifact_bytes=GIB, copies=copies) == {
            "roomy": [], "full": [PlacementReason.INSUFFICIENT_DISK], "holder": [], "unknown": [],
        }  # fmt: skip

    def test_the_remedy_says_how_much_to_free(self, paper, remedy):
        found = remedy(paper.Worker(name="w", disk_free=GIB), artifact_bytes=3 * GIB)
        assert (found.needed, found.available, found.unit) == (str(3 * GIB), str(GIB), "bytes")
        assert found.remedy == "free 2.0 GiB on the storage of w"

    def test_it_is_not_now_for_room_can_be_made(self, paper):
        worker = paper.Worker(name="w", disk_free=0)
        outcome = paper.place(paper.snapshot(worker), paper.request(artifact_bytes=1))
        assert outcome.explanation.verdict is Verdict.NOT_NOW

    def test_what_takes_no_room_needs_none(self, paper, reasons):
        assert reasons(paper.Worker(name="w", disk_free=0)) == {"w": []}
