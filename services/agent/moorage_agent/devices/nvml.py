"""NVML itself, through ``nvidia-ml-py``: the only module that touches it."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pynvml  # type: ignore[import-untyped]

from moorage_agent.devices.gpus import NvmlUnavailable, RawGpu
from moorage_agent.devices.topology import groups


class Nvml:
    """Asks NVML for every GPU. It stays open between questions: opening it can wake every card up."""

    def __init__(self) -> None:
        self._open = False
        # How cards are wired does not change while the driver is open, and asking costs a call per pair.
        self._wiring: dict[tuple[str, ...], list[tuple[str, str]]] = {}

    def __call__(self) -> list[RawGpu]:
        """Returns the GPUs that answer; a card that is lost is left out.

        Raises:
            NvmlUnavailable: There is no driver, or it fails.
        """
        try:
            if not self._open:
                pynvml.nvmlInit()
                self._open = True
            driver = _text(pynvml.nvmlSystemGetDriverVersion())
            gpus = list(_gpus(pynvml.nvmlDeviceGetCount(), driver))
            uuids = tuple(gpu.uuid for gpu in gpus)
            if uuids not in self._wiring:
                self._wiring = {uuids: _wiring(gpus)}
        except pynvml.NVMLError as error:
            self._close()
            raise NvmlUnavailable(f"NVML is not available: {error}") from error
        return [
            replace(gpu, link_group=link, switch_group=switch)
            for gpu, (link, switch) in zip(gpus, self._wiring[uuids], strict=True)
        ]

    def _close(self) -> None:
        # The next question opens it afresh: a driver that was reloaded is found again.
        if self._open:
            with contextlib.suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()
        self._open = False
        self._wiring.clear()


def _gpus(count: int, driver: str) -> Iterator[RawGpu]:
    for index in range(count):
        with contextlib.suppress(pynvml.NVMLError_GpuIsLost, pynvml.NVMLError_NoPermission):
            yield _read(index, driver)


def _read(index: int, driver: str) -> RawGpu:
    device = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(device)
    return RawGpu(
        uuid=_text(pynvml.nvmlDeviceGetUUID(device)),
        index=index,
        name=_text(pynvml.nvmlDeviceGetName(device)),
        memory_total=int(memory.total),
        memory_used=int(memory.used),
        compute_capability=_capability(device),
        driver_version=driver,
        process_memory=_process_memory(device),
    )


def _wiring(gpus: Sequence[RawGpu]) -> list[tuple[str, str]]:
    """Each GPU's link group and switch group."""
    uuids = [gpu.uuid for gpu in gpus]
    handles = [pynvml.nvmlDeviceGetHandleByIndex(gpu.index) for gpu in gpus]

    def grouped(near: Callable[[object, object], bool]) -> list[str]:
        return groups(uuids, lambda one, other: near(handles[one], handles[other]))

    return list(zip(grouped(_linked), grouped(_on_one_switch), strict=True))


def _linked(one: object, other: object) -> bool:
    try:
        status = pynvml.nvmlDeviceGetP2PStatus(one, other, pynvml.NVML_P2P_CAPS_INDEX_NVLINK)
    except pynvml.NVMLError:
        return False
    return bool(status == pynvml.NVML_P2P_STATUS_OK)


def _on_one_switch(one: object, other: object) -> bool:
    try:
        ancestor = pynvml.nvmlDeviceGetTopologyCommonAncestor(one, other)
    except pynvml.NVMLError:
        return False
    # Beyond these, the way leads through the CPU.
    return bool(ancestor <= pynvml.NVML_TOPOLOGY_MULTIPLE)


def _capability(device: object) -> tuple[int, int] | None:
    try:
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(device)
    except pynvml.NVMLError:
        return None
    return int(major), int(minor)


def _process_memory(device: object) -> dict[int, int]:
    try:
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(device)
    except pynvml.NVMLError:
        return {}
    # The driver hides the bytes from some containers and on some systems.
    return {
        int(process.pid): int(process.usedGpuMemory)
        for process in processes
        if process.usedGpuMemory is not None
    }


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
