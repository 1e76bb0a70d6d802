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
    WORKER_UNREACHABLE = "WORKER_UNREACHABLE"
    """The worker's lease lapsed."""
    WORKER_DRAINING = "WORKER_DRAINING"
    """The worker is being drained."""
    WORKER_MAINTENANCE = "WORKER_MAINTENANCE"
    """The worker is under maintenance."""
    ENGINE_VERSION_UNSUPPORTED = "ENGINE_VERSION_UNSUPPORTED"
    """The worker has the engine, in no version that the model asks for."""
    COMPUTE_CAPABILITY_TOO_LOW = "COMPUTE_CAPABILITY_TOO_LOW"
    """No card of the worker can compute what the model's quantisation or number format needs."""
    DRIVER_TOO_OLD = "DRIVER_TOO_OLD"
    """The driver of the worker's cards is older than the engine needs."""
    SOURCE_NOT_ON_WORKER = "SOURCE_NOT_ON_WORKER"
    """The model's source is a path on workers, and this one has nothing there."""
    INSUFFICIENT_DISK = "INSUFFICIENT_DISK"
    """The worker's disk has no room for the artifact."""
    GPU_NOT_SELECTED = "GPU_NOT_SELECTED"
    """None of the worker's GPUs is among those that were chosen by hand."""
    GPU_UNKNOWN = "GPU_UNKNOWN"
    """A GPU was chosen by hand that the worker does not have."""
    DISTRIBUTED_VLLM_EXCLUSIVE = "DISTRIBUTED_VLLM_EXCLUSIVE"
    """Each worker can serve only one distributed vLLM instance at a time, and this one does."""
    PARALLEL_SIZE_IMPOSSIBLE = "PARALLEL_SIZE_IMPOSSIBLE"
    """The model cannot be cut over GPUs as asked, or at all as needed: nothing divides its heads."""
    INSUFFICIENT_GPUS = "INSUFFICIENT_GPUS"
    """There are too few GPUs that could serve the model together."""
    MODEL_UNSUPPORTED = "MODEL_UNSUPPORTED"
    """The engine does not read the model's files, or the model's kind."""
    DISTRIBUTION_UNSUPPORTED = "DISTRIBUTION_UNSUPPORTED"
    """The worker's build of the engine cannot serve an instance together with other workers."""
    ENGINE_VERSIONS_DIFFER = "ENGINE_VERSIONS_DIFFER"
    """Workers that would hold the model together have the engine in different versions."""


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
    CACHE_ROOM = "CACHE_ROOM"
    """What the engine takes for its cache beyond what one longest request needs."""


class PlacementMode(StrEnum):
    """How a model lies on the fleet."""

    CPU = "CPU"
    """Everything in one worker's RAM."""
    PARTLY = "PARTLY"
    """The last layers on one worker's GPUs, the others in its RAM."""
    DISTRIBUTED_PARTLY = "DISTRIBUTED_PARTLY"
    """The last layers on GPUs of several workers, the others in the primary's RAM."""
    DISTRIBUTED = "DISTRIBUTED"
    """Everything on GPUs of several workers."""
    SEVERAL_GPUS = "SEVERAL_GPUS"
    """Everything on several GPUs of one worker."""
    ONE_GPU = "ONE_GPU"


class KvCacheType(StrEnum):
    """How the elements of the key/value cache are stored."""

    F16 = "F16"
    Q8_0 = "Q8_0"
    Q4_0 = "Q4_0"


class FlashAttention(StrEnum):
    """Whether llama.cpp computes attention without its whole matrix in memory."""

    ON = "ON"
    OFF = "OFF"


class VllmDtype(StrEnum):
    """A number format that vLLM computes or keeps values in."""

    BF16 = "BF16"
    F16 = "F16"
    F32 = "F32"
    FP8 = "FP8"
    """For the key/value cache only."""


class ModelCategory(StrEnum):
    """What a model is for."""

    LLM = "LLM"
    EMBEDDING = "EMBEDDING"
    RERANKER = "RERANKER"


class OperatingSystem(StrEnum):
    """What a worker runs on."""

    LINUX = "LINUX"
    DARWIN = "DARWIN"
    WINDOWS = "WINDOWS"


class CpuArchitecture(StrEnum):
    """What a worker's CPU executes."""

    X86_64 = "X86_64"
    AARCH64 = "AARCH64"
