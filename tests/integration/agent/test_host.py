"""What is read of this machine, and of trees of files that look like a container's."""

import os
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from moorage_agent.devices import cgroups
from moorage_agent.devices.gpus import GpuMonitor
from moorage_agent.devices.host import host_facts, own_ram_bytes, ram_use
from moorage_agent.devices.nvml import Nvml


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def test_the_tightest_limit_on_the_way_up_counts(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "memory.max": "max\n",
            "pods/memory.max": "4000\n",
            "pods/memory.current": "1500\n",
            "pods/memory.stat": "anon 1\ninactive_file 500\n",
            "pods/agent/memory.max": "9000\n",
            "pods/agent/memory.current": "10\n",
            "pods/cpu.max": "150000 100000\n",
        },
    )
    membership = "0::/pods/agent\n"
    assert cgroups.memory_limit(tmp_path, membership) == cgroups.MemoryLimit(
        limit_bytes=4000, used_bytes=1000
    )
    assert cgroups.cpu_quota(tmp_path, membership) == 1.5


def test_version_1_and_no_limits(tmp_path: Path) -> None:
    assert cgroups.memory_limit(tmp_path, "0::/\n") is None
    assert cgroups.cpu_quota(tmp_path, "") is None
    write(
        tmp_path / "memory",
        {
            "docker/x/memory.limit_in_bytes": "7000\n",
            "docker/x/memory.usage_in_bytes": "3000\n",
            "docker/x/memory.stat": "total_inactive_file 1000\n",
        },
    )
    found = cgroups.memory_limit(tmp_path, "5:memory:/docker/x\n0::/other\n")
    assert found == cgroups.MemoryLimit(limit_bytes=7000, used_bytes=2000)


def test_this_machine() -> None:
    facts = host_facts()
    assert facts.hostname
    assert 1 <= facts.cpu_cores <= (os.cpu_count() or 1)
    use = ram_use()
    assert 0 < use.used_bytes < use.total_bytes == facts.ram_total_bytes <= psutil.virtual_memory().total


def test_ram_of_processes() -> None:
    assert 0 < own_ram_bytes([os.getpid()]) < psutil.Process().memory_info().rss
    assert own_ram_bytes([2**22 + 1]) == 0


def test_nvml_answers_or_says_that_it_cannot() -> None:
    with capture_logs() as logs:
        gpus = GpuMonitor(Nvml()).read()
    assert gpus or "NVML" in logs[0]["error"]


@pytest.mark.gpu
def test_nvml_on_a_gpu() -> None:
    monitor = GpuMonitor(Nvml())
    gpus = monitor.read()
    if not gpus:
        pytest.skip("no NVIDIA GPU here")
    for gpu in gpus:
        assert gpu.uuid.startswith("GPU-")
        assert 0 < gpu.memory_used_bytes < gpu.memory_total_bytes
        assert gpu.driver_version
        # A group has at least two members, and the name of one of them.
        for group in {gpu.link_group, gpu.switch_group} - {""}:
            assert group in {other.uuid for other in gpus}
            assert len(gpus) > 1
