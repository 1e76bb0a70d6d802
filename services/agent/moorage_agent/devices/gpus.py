"""NVIDIA GPUs, asked through NVML.

NVML is a library of the driver: it may be absent, fail, or hang with a sick card. None of that may
take the agent along: the worker then has no GPUs, or those that it was last known to have.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from moorage_common.runtime.logs import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawGpu:
    """What NVML says about one GPU, as it says it."""

    uuid: str
    index: int
    name: str
    memory_total: int
    memory_used: int
    compute_capability: tuple[int, int] | None
    driver_version: str
    link_group: str = ""
    switch_group: str = ""
    process_memory: Mapping[int, int] = field(default_factory=dict)
    """Bytes by process id, where the driver knows them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU of the node."""

    uuid: str
    """Identifies the card: an index shifts when one drops off the bus."""
    index: int
    product: str
    memory_total_bytes: int
    memory_used_bytes: int
    """By everybody."""
    own_bytes: int
    """By the mesh's engines."""
    compute_capability: str
    """Like "8.9"; empty if not known."""
    driver_version: str
    link_group: str
    """Those with the same one reach each other's memory over NVLink. Empty: none does, or it is not known."""
    switch_group: str
    """Those with the same one hang on the same PCIe switches. Empty: on none, or it is not known."""


class NvmlReader(Protocol):
    """The seam to NVML: everything beyond it is plain values."""

    def __call__(self) -> list[RawGpu]:
        """Asks for every GPU. May block for ever, and may raise `NvmlUnavailable`."""
        ...


class NvmlUnavailable(Exception):
    """There is no NVML here, or it does not answer."""


def to_gpu(raw: RawGpu, *, own_processes: frozenset[int]) -> Gpu:
    """Returns one GPU as the mesh sees it.

    Args:
        raw: What NVML says.
        own_processes: Ids of the mesh's engine processes.
    """
    own = sum(used for pid, used in raw.process_memory.items() if pid in own_processes)
    capability = raw.compute_capability
    return Gpu(
        uuid=raw.uuid,
        index=raw.index,
        product=raw.name,
        memory_total_bytes=raw.memory_total,
        memory_used_bytes=raw.memory_used,
        own_bytes=min(own, raw.memory_used),
        compute_capability="" if capability is None else f"{capability[0]}.{capability[1]}",
        driver_version=raw.driver_version,
        link_group=raw.link_group,
        switch_group=raw.switch_group,
    )


class GpuMonitor:
    """The node's GPUs, asked with a deadline. Call it from one thread at a time."""

    def __init__(self, reader: NvmlReader, *, timeout_s: float = 5.0) -> None:
        self._reader = reader
        self._timeout_s = timeout_s
        self._last: list[RawGpu] = []
        self._complaint = ""
        self._question: _Question | None = None

    def read(self, own_processes: frozenset[int] = frozenset()) -> list[Gpu]:
        """Returns the GPUs; those of the last answer if NVML fails now. Blocks up to the timeout."""
        self._last = self._ask()
        return [to_gpu(raw, own_processes=own_processes) for raw in self._last]

    def _ask(self) -> list[RawGpu]:
        # While one question hangs in the driver, no second thread is sent after it.
        question, self._question = self._question or _Question(self._reader), None
        try:
            gpus = question.answer(self._timeout_s)
        except TimeoutError:
            self._question = question
            return self._failed("NVML does not answer")
        except NvmlUnavailable as error:
            return self._failed(str(error))
        self._complaint = ""
        return gpus

    def _failed(self, complaint: str) -> list[RawGpu]:
        if complaint != self._complaint:
            # On a machine without GPUs that is as it should be.
            tell = log.warning if self._last else log.info
            tell("no GPUs can be read", error=complaint, known=len(self._last))
        self._complaint = complaint
        return self._last


class _Question:
    """One call of the reader in a thread of its own, which is abandoned if it never returns."""

    def __init__(self, reader: NvmlReader) -> None:
        self._reader = reader
        self._done = threading.Event()
        self._gpus: list[RawGpu] = []
        self._error: NvmlUnavailable | None = None
        # A daemon: a driver that hangs must not keep the process from ending.
        threading.Thread(target=self._ask, name="nvml", daemon=True).start()

    def answer(self, timeout_s: float) -> list[RawGpu]:
        """Returns the GPUs. Raises `TimeoutError`, or what the reader raised."""
        if not self._done.wait(timeout_s):
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return self._gpus

    def _ask(self) -> None:
        try:
            self._gpus = self._reader()
        except NvmlUnavailable as error:
            self._error = error
        except Exception:
            log.exception("NVML reader failed")
            self._error = NvmlUnavailable("the NVML reader failed")
        finally:
            self._done.set()
