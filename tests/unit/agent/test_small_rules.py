"""Restarts, rates, measurements, names, environments and specs."""

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_agent.core.environment import MARK, engine_environment
from moorage_agent.core.measure import Measurements, StorageFigures, changes, foreign_bytes, merged
from moorage_agent.core.naming import endpoint, public_host, worker_id
from moorage_agent.core.pacing import Pacer
from moorage_agent.core.rate import RateMeter
from moorage_agent.core.restart import RestartPolicy
from moorage_agent.core.spec import EngineSpec, GpuShare
from moorage_common.core.names import WORKER
from moorage_common.core.placement import KvCacheType
from moorage_common.core.states import EngineKind

MIB = 2**20
SPEC = EngineSpec(
    kind=EngineKind.LLAMA_CPP,
    alias="m",
    artifact="art",
    entry_point="dir/m.gguf",
    context_length=512,
    gpus=(GpuShare(uuid="GPU-b", layers=3), GpuShare(uuid="GPU-a", layers=2)),
    kv_cache_type=KvCacheType.Q4_0,
)


def test_a_spec_survives_being_written_down() -> None:
    assert EngineSpec.from_json(json.loads(json.dumps(SPEC.to_json()))) == SPEC


def test_a_spec_of_before_some_options_is_one_without_them() -> None:
    fields = SPEC.to_json()
    for name in ("micro_batch_size", "unified_kv_cache", "forbid_mmap"):
        del fields[name]
    assert EngineSpec.from_json(fields) == SPEC
    assert SPEC.gpu_layers == 5


def test_failures_count_until_an_engine_was_well_for_long() -> None:
    policy = RestartPolicy(stable_after_s=60)
    assert policy.failures_after(failures=4, answered_for_s=0) == 5
    assert policy.failures_after(failures=4, answered_for_s=59) == 5
    assert policy.failures_after(failures=4, answered_for_s=60) == 1


@given(st.integers(1, 10_000), st.integers())
def test_a_crash_loop_is_capped(failures: int, seed: int) -> None:
    policy = RestartPolicy()
    assert policy.backoff.floor_s <= policy.delay_s(failures, Random(seed)) <= policy.backoff.cap_s


def test_engines_get_what_they_need_and_no_secrets() -> None:
    base = {"PATH": "/bin", "HF_TOKEN": "secret", "LLAMA_ARG_CTX_SIZE": "1", "CUDA_VISIBLE_DEVICES": "7"}
    environment = engine_environment(base, SPEC, directory="/d", more={"X": "1"})
    assert environment["PATH"] == "/bin"
    assert environment["CUDA_VISIBLE_DEVICES"] == "GPU-b,GPU-a"
    assert (environment[MARK], environment["X"]) == ("/d", "1")
    assert not {"HF_TOKEN", "LLAMA_ARG_CTX_SIZE"} & set(environment)


def test_an_engine_on_the_cpu_sees_no_gpu() -> None:
    spec = EngineSpec(kind=EngineKind.LLAMA_CPP, alias="m", artifact="art", entry_point="m", context_length=1)
    environment = engine_environment({"CUDA_VISIBLE_DEVICES": "0"}, spec, directory="/d", more={})
    assert environment["CUDA_VISIBLE_DEVICES"] == ""


def test_the_rate_is_that_of_the_last_seconds() -> None:
    meter = RateMeter(window_s=5)
    assert meter.per_second(now=0) == 0
    meter.add(1000, now=0)
    assert meter.per_second(now=0) == 1000
    meter.add(1000, now=2)
    assert meter.per_second(now=4) == 500
    assert meter.per_second(now=8) == 0


def test_a_pacer_allows_so_many_times_in_so_many_seconds() -> None:
    pacer = Pacer(times=2, per_s=1)
    for _ in range(2):
        assert pacer.next_at(now=10) == 10
        pacer.sent(now=10)
    assert pacer.next_at(now=10.5) == 11
    assert pacer.next_at(now=12) == 12


def test_foreign_memory_is_never_negative() -> None:
    assert foreign_bytes(used=100, own=30) == 70
    assert foreign_bytes(used=100, own=130) == 0


FIGURES = StorageFigures(capacity_bytes=10**12, free_bytes=10**11, artifact_bytes=0)


def test_everything_is_told_first_and_then_what_changed() -> None:
    first = Measurements(foreign_bytes={"ram": 0, "GPU": 5 * MIB}, storage=FIGURES)
    assert changes(None, first) == first
    assert changes(first, first).empty
    trembling = Measurements(foreign_bytes={"ram": 10 * MIB, "GPU": 6 * MIB}, storage=FIGURES)
    assert changes(first, trembling).empty
    grown = Measurements(foreign_bytes={"ram": 100 * MIB, "GPU": 6 * MIB}, storage=FIGURES)
    assert changes(first, grown) == Measurements(foreign_bytes={"ram": 100 * MIB})
    assert merged(first, changes(first, grown)).foreign_bytes == {"ram": 100 * MIB, "GPU": 5 * MIB}


def test_slow_growth_is_told_in_the_end() -> None:
    told = Measurements(foreign_bytes={"ram": 0}, storage=FIGURES)
    for step in range(1, 64):
        assert changes(told, Measurements(foreign_bytes={"ram": step * MIB}, storage=FIGURES)).empty
    assert not changes(told, Measurements(foreign_bytes={"ram": 64 * MIB}, storage=FIGURES)).empty


@pytest.mark.parametrize("artifact_bytes", [1, 10**9])
def test_storage_is_told_when_artifacts_change(artifact_bytes: int) -> None:
    told = Measurements(storage=FIGURES)
    now = StorageFigures(capacity_bytes=10**12, free_bytes=10**11, artifact_bytes=artifact_bytes)
    assert changes(told, Measurements(storage=now)).storage == now


@given(st.text(max_size=80))
def test_every_host_name_gives_a_worker(hostname: str) -> None:
    assert WORKER.matches(f"workers/{worker_id('', hostname=hostname)}")


def test_worker_names() -> None:
    assert worker_id("", hostname="GPU-07.rack.example") == "gpu-07-rack-example"
    assert worker_id("given", hostname="host") == "given"


def test_addresses_as_others_see_them() -> None:
    assert public_host("", bound="0.0.0.0", hostname="node") == "node"
    assert public_host("", bound="10.0.0.1", hostname="node") == "10.0.0.1"
    assert public_host("public", bound="0.0.0.0", hostname="node") == "public"
    assert endpoint("http://0.0.0.0:8080", host="node") == "http://node:8080/v1"
    assert endpoint("http://[::]:8080", host="fd00::1") == "http://[fd00::1]:8080/v1"
