"""Why a worker was not chosen: the vocabulary of explanations."""

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
