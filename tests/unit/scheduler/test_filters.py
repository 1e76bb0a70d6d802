"""Each rule on a fleet where one worker passes and one does not."""

import inspect

import pytest

from moorage_common.core.placement import CpuArchitecture, OperatingSystem, PlacementReason
from moorage_common.core.states import AcceleratorKind, EngineKind, WorkerState
from moorage_scheduler.core import sieve as sieve_module
from moorage_scheduler.core.by_hand import refused_by_hand
from moorage_scheduler.core.request import LlamaCppOptions
from moorage_scheduler.core.sieve import sift
from moorage_scheduler.core.summary import PHRASES
from moorage_scheduler.filters import FILTERS
from moorage_scheduler.filters.accelerator import AcceleratorRule
from moorage_scheduler.filters.compatibility import Compatibility
from moorage_scheduler.filters.cordon import CordonFilter
from moorage_scheduler.filters.cpu_architecture import CpuArchitectureFilter
from moorage_scheduler.filters.engine import EngineFilter
from moorage_scheduler.filters.operating_system import OperatingSystemFilter
from moorage_scheduler.filters.selection import SelectionFilter
from moorage_scheduler.filters.state import StateFilter


@pytest.fixture
def ask(paper, monkeypatch):
    """Asks one rule about a fleet; gives the names that pass, and the rejections of the others."""

    def ask(rule, *workers, **request):
        monkeypatch.setattr(sieve_module, "FILTERS", (rule,))
        snapshot = paper.snapshot(*workers)
        sieve = sift(snapshot, paper.request(**request))
        slots = snapshot.rows.slots
        passing = {name for name, slot in slots.items() if sieve.passed[slot]}
        rejected = {name: sieve.rejections(slot) for name, slot in slots.items() if name not in passing}
        assert all(len(said) == 1 for said in rejected.values())
        return passing, {name: said[0] for name, said in rejected.items()}

    return ask


def test_every_reason_that_is_not_about_names_or_how_the_model_lies_has_its_filter():
    names = {"WORKER_UNKNOWN", "GPU_UNKNOWN"}
    lies = {
        "INSUFFICIENT_GPU_MEMORY", "INSUFFICIENT_RAM", "INSUFFICIENT_GPUS", "PARALLEL_SIZE_IMPOSSIBLE",
        "DISTRIBUTED_VLLM_EXCLUSIVE", "DISTRIBUTION_UNSUPPORTED", "ENGINE_VERSIONS_DIFFER", "MODEL_UNSUPPORTED",
    }  # fmt: skip
    others = names | lies
    assert {rule.reason for rule in FILTERS} == {r for r in PlacementReason if r.value not in others}
    assert len({rule.reason for rule in FILTERS}) == len(FILTERS)


def test_only_what_a_person_or_time_can_change_is_transient():
    transient = {rule.reason for rule in FILTERS if rule.transient}
    assert transient == {
        PlacementReason.WORKER_NOT_READY,
        PlacementReason.WORKER_UNREACHABLE,
        PlacementReason.WORKER_CORDONED,
        PlacementReason.WORKER_DRAINING,
        PlacementReason.WORKER_MAINTENANCE,
        PlacementReason.INSUFFICIENT_DISK,
    }


class TestSelection:
    def test_without_a_wish_everybody_passes(self, paper, ask):
        passing, _ = ask(SelectionFilter(), paper.Worker(name="a"), paper.Worker(name="b"))
        assert passing == {"a", "b"}

    def test_only_named_workers_pass(self, paper, ask):
        fleet = [paper.Worker(name=name) for name in "abc"]
        passing, rejected = ask(SelectionFilter(), *fleet, workers=["a", "b"])
        assert passing == {"a", "b"}
        assert rejected["c"].reason is PlacementReason.WORKER_NOT_SELECTED
        assert (rejected["c"].needed, rejected["c"].available) == ("a, b", "c")

    def test_a_long_wish_is_not_repeated_whole(self, paper, ask):
        _, rejected = ask(SelectionFilter(), paper.Worker(name="z"), workers=list("abcdef"))
        assert rejected["z"].needed == "a, b, c and 3 more"

    def test_every_label_must_be_there_with_its_value(self, paper, ask):
        fleet = [
            paper.Worker(name="both", labels=(("zone", "a"), ("tier", "1"))),
            paper.Worker(name="other", labels=(("zone", "b"), ("tier", "1"))),
            paper.Worker(name="none"),
        ]
        passing, rejected = ask(SelectionFilter(), *fleet, labels={"zone": "a", "tier": "1"})
        assert passing == {"both"}
        assert (rejected["other"].needed, rejected["other"].available) == ("zone=a", "zone=b")
        assert (rejected["none"].needed, rejected["none"].available) == ("tier=1, zone=a", "none")

    def test_names_and_labels_must_both_hold(self, paper, ask):
        fleet = [paper.Worker(name="a", labels=(("z", "1"),)), paper.Worker(name="b", labels=(("z", "1"),))]
        passing, _ = ask(SelectionFilter(), *fleet, workers=["a"], labels={"z": "1"})
        assert passing == {"a"}

    def test_a_name_that_nobody_has_is_refused_by_that_name(self, paper):
        def refused(*names):
            snapshot, request = paper.snapshot(paper.Worker(name="a")), paper.request(workers=names)
            return refused_by_hand(snapshot, request, sift(snapshot, request), transient=True)

        (unknown,) = refused("a", "ghost")
        assert unknown.worker == "ghost"
        assert unknown.rejections[0].reason is PlacementReason.WORKER_UNKNOWN
        assert refused("a") == ()


@pytest.mark.parametrize("state", [s for s in WorkerState if s is not WorkerState.READY])
def test_only_ready_workers_pass(paper, ask, state):
    passing, rejected = ask(StateFilter(), paper.Worker(name="up"), paper.Worker(name="down", state=state))
    assert passing == {"up"}
    assert (rejected["down"].needed, rejected["down"].available) == ("READY", state.value)


def test_cordoned_workers_do_not_pass(paper, ask):
    passing, rejected = ask(CordonFilter(), paper.Worker(name="a"), paper.Worker(name="b", cordoned=True))
    assert passing == {"a"}
    assert rejected["b"].remedy == "uncordon b"


def test_an_unknown_operating_system_does_not_pass(paper, ask):
    fleet = [paper.Worker(name=s.value, system=s) for s in OperatingSystem]
    passing, rejected = ask(OperatingSystemFilter(), *fleet, paper.Worker(name="odd", system=None))
    assert passing == set(OperatingSystem)
    assert rejected["odd"].available == "unknown"


def test_an_unknown_cpu_does_not_pass(paper, ask):
    fleet = [paper.Worker(name=a.value, architecture=a) for a in CpuArchitecture]
    passing, rejected = ask(CpuArchitectureFilter(), *fleet, paper.Worker(name="odd", architecture=None))
    assert passing == set(CpuArchitecture)
    assert rejected["odd"].needed == "AARCH64 or X86_64"


class TestAnEngineWithNarrowerNeeds:
    """The rules read the engine's data: with other data they answer otherwise."""

    @pytest.fixture(autouse=True)
    def narrow(self, monkeypatch):
        narrow = Compatibility(
            systems=frozenset({OperatingSystem.LINUX}),
            architectures=frozenset({CpuArchitecture.X86_64}),
            accelerators=frozenset({AcceleratorKind.CUDA}),
            needs_accelerator=True,
        )
        for rule in ("operating_system", "cpu_architecture", "accelerator", "compatibility"):
            module = f"moorage_scheduler.filters.{rule}.COMPATIBILITY"
            monkeypatch.setattr(module, {EngineKind.LLAMA_CPP: narrow})

    def test_the_system_counts(self, paper, ask):
        mac = paper.Worker(name="mac", system=OperatingSystem.DARWIN)
        passing, rejected = ask(OperatingSystemFilter(), paper.Worker(name="linux"), mac)
        assert passing == {"linux"}
        assert (rejected["mac"].needed, rejected["mac"].available) == ("LINUX", "DARWIN")

    def test_the_cpu_counts(self, paper, ask):
        arm = paper.Worker(name="arm", architecture=CpuArchitecture.AARCH64)
        passing, rejected = ask(CpuArchitectureFilter(), paper.Worker(name="intel"), arm)
        assert passing == {"intel"}
        assert (rejected["arm"].needed, rejected["arm"].available) == ("X86_64", "AARCH64")

    def test_the_accelerator_counts(self, paper, ask):
        cuda = paper.Worker(name="cuda", gpus=(1,))
        rocm = paper.Worker(name="rocm", gpus=(1,), kind=AcceleratorKind.ROCM)
        passing, rejected = ask(AcceleratorRule(), cuda, rocm, paper.Worker(name="cpu"))
        assert passing == {"cuda"}
        assert (rejected["rocm"].needed, rejected["rocm"].available) == ("CUDA", "ROCM")
        assert rejected["cpu"].available == "none"


class TestAccelerator:
    def test_llama_cpp_needs_none(self, paper, ask):
        passing, _ = ask(AcceleratorRule(), paper.Worker(name="cpu"), paper.Worker(name="gpu", gpus=(1,)))
        assert passing == {"cpu", "gpu"}

    def test_gpu_layers_need_a_gpu_that_the_build_drives(self, paper, ask):
        fleet = [
            paper.Worker(name="cpu"),
            paper.Worker(name="gpu", gpus=(1,)),
            paper.Worker(name="cpu-build", gpus=(1,), drives=frozenset()),
        ]
        passing, rejected = ask(AcceleratorRule(), *fleet, options=LlamaCppOptions(gpu_layers=1))
        assert passing == {"gpu"}
        assert rejected["cpu"].available == "none"
        assert rejected["cpu-build"].available == "CUDA, but LLAMA_CPP there computes on the CPU only"
        assert "install a build" in rejected["cpu-build"].remedy

    def test_no_gpu_layers_need_no_gpu(self, paper, ask):
        passing, _ = ask(AcceleratorRule(), paper.Worker(name="cpu"), options=LlamaCppOptions(gpu_layers=0))
        assert passing == {"cpu"}

    def test_forbidden_offload_rules_out_gpus_that_cannot_be_driven_but_not_plain_cpus(self, paper, ask):
        fleet = [paper.Worker(name="cpu"), paper.Worker(name="cpu-build", gpus=(1,), drives=frozenset())]
        options = LlamaCppOptions(forbid_cpu_offload=True)
        passing, _ = ask(AcceleratorRule(), *fleet, options=options)
        assert passing == {"cpu"}

    def test_an_engine_that_is_not_installed_is_another_filters_matter(self, paper, ask):
        worker = paper.Worker(name="bare", gpus=(1,), installed=False)
        passing, _ = ask(AcceleratorRule(), worker, options=LlamaCppOptions(gpu_layers=1))
        assert passing == {"bare"}


def test_workers_without_the_engine_do_not_pass(paper, ask):
    bare = paper.Worker(name="bare", installed=False)
    passing, rejected = ask(EngineFilter(), paper.Worker(name="a"), bare)
    assert passing == {"a"}
    assert (rejected["bare"].needed, rejected["bare"].available) == ("LLAMA_CPP", "none")


def test_no_filter_takes_up_more_than_a_page():
    for rule in FILTERS:
        assert len(inspect.getsource(inspect.getmodule(rule)).splitlines()) < 150


def test_every_reason_has_a_phrase_for_the_answer_in_one_sentence():
    assert set(PHRASES) == set(PlacementReason)
