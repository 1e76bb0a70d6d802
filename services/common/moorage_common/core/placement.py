"""The vocabulary of placements: what is asked of a worker, what is held there, and why one was not chosen.

Each enum's values are the proto enum's value names without their prefix, so that conversion is by name.
"""

from enum import StrEnum


class PlacementReason(StrEnum):
    """The rule that rejected a worker. The proto enum has the same names."""

    WORKER_NOT_SELECTED = "WORKER_NOT_SELECTED"
    """The model's placement names other workers, or labels that this one lacks."""
    WORKER_UNKNOWN = "WORKER_UNKNOWN"
    """The model's placement names a worker that does not exist."""
    WORKER_NOT_READY = "WORKER_NOT_READY"
    """The worker is not READY."""
    WORKER_CORDONED = "WORKER_CORDONED"
    """The worker takes no new instances."""
    OS_UNSUPPORTED = "OS_UNSUPPORTED"
    """The engine does not run on the worker's operating system."""
    ARCHITECTURE_UNSUPPORTED = "ARCHITECTURE_UNSUPPORTED"
    """The engine does not run on the worker's CPU architecture."""
    ACCELERATOR_UNSUPPORTED = "ACCELERATOR_UNSUPPORTED"
    """The engine needs an accelerator of a kind that the worker does not have."""
    ENGINE_NOT_INSTALLED = "ENGINE_NOT_INSTALLED"
    """The worker's agent did not report the engine."""
    INSUFFICIENT_GPU_MEMORY = "INSUFFICIENT_GPU_MEMORY"
    """No GPU or group of GPUs of the worker has the memory that is needed."""
    INSUFFICIENT_RAM = "INSUFFICIENT_RAM"
    """The worker's RAM is short for what would live in it."""


class Verdict(StrEnum):
    """The answer of a placement in one word."""

    PLACED = "PLACED"
    NOT_NOW = "NOT_NOW"
    """It would fit if claims ended or workers came back."""
    NEVER_FITS = "NEVER_FITS"
    """No worker could hold it even if it were empty."""


class PlacementStrategy(StrEnum):
    """Which feasible worker is better."""

    BINPACK = "BINPACK"
    """The fullest that fits: keeps large holes for large models."""
    SPREAD = "SPREAD"
    """The one with the fewest instances of the model, then of any."""


class MemoryPart(StrEnum):
    """What a part of a memory estimate pays for."""

    WEIGHTS = "WEIGHTS"
    KV_CACHE = "KV_CACHE"
    COMPUTE = "COMPUTE"
    """Buffers of the compute graph."""
    OVERHEAD = "OVERHEAD"
    """What the engine and its driver take besides."""


class KvCacheType(StrEnum):
    """How the elements of the key/value cache are stored."""

    F16 = "F16"
    Q8_0 = "Q8_0"
    Q4_0 = "Q4_0"


class OperatingSystem(StrEnum):
    """What a worker runs on."""

    LINUX = "LINUX"
    DARWIN = "DARWIN"
    WINDOWS = "WINDOWS"


class CpuArchitecture(StrEnum):
    """What a worker's CPU executes."""

    X86_64 = "X86_64"
    AARCH64 = "AARCH64"
