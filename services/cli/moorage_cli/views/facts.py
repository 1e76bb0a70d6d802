"""Artifacts, instances and workers in a line."""

import re

from moorage.registry.v1.artifact_pb2 import Artifact
from moorage.registry.v1.instance_pb2 import Instance
from moorage.registry.v1.worker_pb2 import MemoryPool, Worker
from moorage_cli.views.words import plural, size

_DIGEST = re.compile(r"(sha256:)?[0-9a-f]{12}(?=[0-9a-f]*$)")
"""What of a commit, or of a digest, tells it from others. What else a revision is made of is not cut."""


def describe_artifact(artifact: Artifact) -> str:
    """Returns e.g. "1 file, 766 KiB, llama with 4 layers, F32"."""
    parts = [plural(len(artifact.files), "file"), size(artifact.size_bytes), describe_model(artifact)]
    return ", ".join(part for part in parts if part)


def describe_model(artifact: Artifact) -> str:
    """Returns e.g. "llama with 4 layers, F32": what the files' headers say; empty when they say nothing."""
    gguf, safetensors = artifact.facts.gguf, artifact.facts.safetensors
    if safetensors.block_count:
        parts = (
            safetensors.model_type,
            safetensors.block_count,
            safetensors.quantization or safetensors.dtype,
        )
    else:
        parts = (gguf.architecture, gguf.block_count, gguf.quantization)
    name, blocks, weights = parts
    layers = f"{name} with {plural(blocks, 'layer')}" if name else ""
    return ", ".join(part for part in (layers, weights) if part)


def held_bytes(instance: Instance) -> int:
    """Returns how much memory an instance holds, over all pools."""
    return sum(claim.size_bytes for claim in instance.placement.claims)


def describe_pin(artifact: Artifact) -> str:
    """Returns e.g. "artifacts/3f2a, 766 KiB, revision 0123456789ab": what a source was pinned to."""
    digest = _DIGEST.match(artifact.revision)
    revision = f", revision {digest[0] if digest else artifact.revision}" if artifact.revision else ""
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
