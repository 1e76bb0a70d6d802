"""What is read of containers and GPUs, without either."""

import threading

import pytest
from structlog.testing import capture_logs

from moorage_agent.devices.cgroups import MemoryLimit, parse_cpu_quota, parse_limit, parse_stat
from moorage_agent.devices.gpus import GpuMonitor, NvmlUnavailable, RawGpu, to_gpu
from moorage_agent.devices.host import RamUse, cpu_cores, limited
from moorage_agent.devices.topology import groups

GIB = 2**30
RAW = RawGpu(
    uuid="GPU-1",
    index=0,
    name="NVIDIA L40S",
    memory_total=48 * GIB,
    memory_used=10 * GIB,
    compute_capability=(8, 9),
    driver_version="570.1",
    process_memory={11: 4 * GIB, 12: 5 * GIB},
)


@pytest.mark.parametrize(
    ("text", "limit"),
    [("max\n", None), ("1073741824\n", GIB), ("9223372036854771712\n", None), ("", None), ("-1", None)],
)
def test_memory_limits(text: str, limit: int | None) -> None:
    assert parse_limit(text) == limit


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000\n", None), ("150000 100000\n", 1.5), ("", None), ("1 0", None), ("-1 100000", None)],
)
def test_cpu_quotas(text: str, cores: float | None) -> None:
    assert parse_cpu_quota(text) == cores


def test_memory_stat() -> None:
    stat = "anon 12\ninactive_file 34\n"
    assert parse_stat(stat, "inactive_file") == 34
    assert parse_stat(stat, "file") == 0


def test_cores_are_whole_and_at_least_one() -> None:
    assert cpu_cores(affinity=8, quota=None) == 8
    assert cpu_cores(affinity=8, quota=2.9) == 2
    assert cpu_cores(affinity=8, quota=0.5) == 1
    assert cpu_cores(affinity=4, quota=64) == 4
    assert cpu_cores(affinity=None, quota=None) == 1


def test_a_limit_makes_the_machine_smaller() -> None:
    machine = RamUse(total_bytes=64 * GIB, used_bytes=4 * GIB)
    assert limited(machine, None) == machine
    assert limited(machine, MemoryLimit(limit_bytes=100 * GIB, used_bytes=0)) == machine
    small = limited(machine, MemoryLimit(limit_bytes=8 * GIB, used_bytes=3 * GIB))
    assert small == RamUse(total_bytes=8 * GIB, used_bytes=3 * GIB)


def test_a_machine_that_others_have_filled_is_full_under_any_limit() -> None:
    machine = RamUse(total_bytes=64 * GIB, used_bytes=63 * GIB)
    small = limited(machine, MemoryLimit(limit_bytes=8 * GIB, used_bytes=3 * GIB))
    assert small == RamUse(total_bytes=8 * GIB, used_bytes=7 * GIB)


def test_what_engines_use_of_a_gpu_is_their_own() -> None:
    gpu = to_gpu(RAW, own_processes=frozenset({12, 99}))
    assert (gpu.own_bytes, gpu.compute_capability, gpu.product) == (5 * GIB, "8.9", "NVIDIA L40S")


def test_no_more_is_our_own_than_is_used() -> None:
    raw = RawGpu(
        uuid="GPU-1",
        index=0,
        name="x",
        memory_total=10,
        memory_used=3,
        compute_capability=None,
        driver_version="",
        process_memory={1: 5},
    )
    gpu = to_gpu(raw, own_processes=frozenset({1}))
    assert (gpu.own_bytes, gpu.compute_capability) == (3, "")


def test_gpus_that_are_close_to_the_same_are_one_group_named_by_its_least_uuid() -> None:
    pairs = {(0, 2), (2, 4), (1, 5)}

    def near(one: int, other: int) -> bool:
        return (min(one, other), max(one, other)) in pairs

    assert groups(["f", "e", "d", "c", "b", "a"], near) == ["b", "a", "b", "", "b", "a"]
    assert groups(["f"], near) == [""]
    assert groups([], near) == []


def test_absent_nvml_is_no_gpus_and_one_complaint() -> None:
    def absent() -> list[RawGpu]:
        raise NvmlUnavailable("no driver")

    monitor = GpuMonitor(absent)
    with capture_logs() as logs:
        assert monitor.read() == []
        assert monitor.read() == []
    assert len(logs) == 1


def test_a_failure_keeps_the_gpus_last_known() -> None:
    answers = [[RAW], NvmlUnavailable("driver gone"), RuntimeError("bug"), []]

    def flaky() -> list[RawGpu]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monitor = GpuMonitor(flaky)
    with capture_logs():
        assert [len(monitor.read()) for _ in range(4)] == [1, 1, 1, 0]


def test_nvml_that_hangs_is_asked_by_one_thread_only() -> None:
    let_go = threading.Event()
    asked = []

    def hangs() -> list[RawGpu]:
        asked.append(1)
        let_go.wait(30)
        return [RAW]

    monitor = GpuMonitor(hangs, timeout_s=0.02)
    with capture_logs() as logs:
        assert monitor.read() == []
        assert monitor.read() == []
    assert (len(asked), len(logs)) == (1, 1)
    let_go.set()
    patient = GpuMonitor(hangs, timeout_s=20)
    assert len(patient.read()) == 1
