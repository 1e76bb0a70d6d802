"""Artifacts and workers in a line."""

from moorage.registry.v1.artifact_pb2 import Artifact
from moorage.registry.v1.worker_pb2 import MemoryPool, Worker
from moorage_cli.views.words import plural, size


def describe_artifact(artifact: Artifact) -> str:
    """Returns e.g. "1 file, 766 KiB, llama with 4 layers, F32"."""
    parts = [plural(len(artifact.files), "file"), size(artifact.size_bytes)]
    gguf = artifact.facts.gguf
    if gguf.architecture:
        parts.append(f"{gguf.architecture} with {plural(gguf.block_count, 'layer')}")
    if gguf.quantization:
        parts.append(gguf.quantization)
    return ", ".join(parts)


def describe_pin(artifact: Artifact) -> str:
    """Returns e.g. "artifacts/3f2a, 766 KiB, revision 0123456789ab": what a source was pinned to."""
    revision = f", revision {artifact.revision[:12]}" if artifact.revision else ""
    return f"{artifact.name}, {size(artifact.size_bytes)}{revision}"


def describe_memory(pool: MemoryPool) -> str:
    """Returns e.g. "1.20 GiB of 23.4 GiB": what a new claim can have, of all there is."""
    return f"{size(pool.available_bytes)} of {size(pool.total_bytes)}"


def describe_accelerators(worker: Worker) -> str:
    """Returns the products of a worker's accelerators with their free memory, one a line."""
    pools = {pool.pool: pool for pool in worker.accelerator_memory}
    lines = []
    for accelerator in worker.facts.accelerators:
        pool = pools.get(accelerator.uuid)
        lines.append(f"{accelerator.product} {describe_memory(pool) if pool else ''}".strip())
    return "\n".join(lines)
