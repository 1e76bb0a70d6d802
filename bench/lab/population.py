"""Instances on played agents, bound as a scheduler binds them."""

import asyncio
import sys

from lab.agents import GIB, PlayedAgent
from moorage.common.v1 import model_facts_pb2, placement_pb2
from moorage.registry.v1 import (
    artifact_pb2,
    artifact_service_pb2,
    instance_pb2,
    instance_service_pb2,
    model_pb2,
    model_service_pb2,
)
from moorage_common.rpc.clients import RegistryClient

_PER_MODEL = 100


async def populate(client: RegistryClient, agents: list[PlayedAgent], instances: int) -> None:
    """Binds so many instances to the agents' workers in turn, with explanations as schedulers write them."""
    for number in range(instances // _PER_MODEL):
        model = model_pb2.Model(source="hf:acme/tiny/model.gguf", replicas=_PER_MODEL)
        await client.models.CreateModel(
            model_service_pb2.CreateModelRequest(model_id=f"model-{number}", model=model)
        )
        await _resolve(client)
        request = instance_service_pb2.ListInstancesRequest(parent=f"models/model-{number}", page_size=1000)
        waiting = list((await client.instances.ListInstances(request)).instances)
        chosen = [agents[(number * _PER_MODEL + n) % len(agents)] for n in range(len(waiting))]
        await _nominate(client, waiting, chosen)
        await asyncio.gather(*(_fetch(agent) for agent in _unique(chosen)))
        ready = list((await client.instances.ListInstances(request)).instances)
        await _bind(client, ready, agents)


def _unique(agents: list[PlayedAgent]) -> list[PlayedAgent]:
    return list({agent.number: agent for agent in agents}.values())


async def _resolve(client: RegistryClient) -> None:
    leases = await client.artifacts.LeaseResolutions(
        artifact_service_pb2.LeaseResolutionsRequest(holder="bench", max_results=10)
    )
    artifact = artifact_pb2.Artifact(
        name="artifacts/a1",
        source="hf:acme/tiny@c0ffee/model.gguf",
        revision="c0ffee",
        files=[artifact_pb2.ArtifactFile(path="model.gguf", size_bytes=1000)],
        entry_point="model.gguf",
        facts=model_facts_pb2.ModelFacts(gguf=model_facts_pb2.GgufFacts(architecture="llama")),
    )
    for lease in leases.leases:
        report = artifact_service_pb2.ReportResolutionRequest(lease_id=lease.lease_id, artifact=artifact)
        await client.artifacts.ReportResolution(report)


async def _nominate(
    client: RegistryClient, waiting: list[instance_pb2.Instance], chosen: list[PlayedAgent]
) -> None:
    nominations = [
        instance_service_pb2.Nomination(
            instance=instance.name, etag=instance.etag, worker=agent.name, explanation=_explanation(agent)
        )
        for instance, agent in zip(waiting, chosen, strict=True)
    ]
    await client.instances.NominateInstances(
        instance_service_pb2.NominateInstancesRequest(nominations=nominations)
    )


async def _fetch(agent: PlayedAgent) -> None:
    await agent.client.artifacts.ReportArtifactCopy(
        artifact_service_pb2.ReportArtifactCopyRequest(
            name=f"artifacts/a1/copies/{agent.name.removeprefix('workers/')}",
            lease_id=agent.lease_id,
            state=artifact_pb2.COPY_STATE_READY,
            done_bytes=1000,
        )
    )


async def _bind(
    client: RegistryClient, ready: list[instance_pb2.Instance], agents: list[PlayedAgent]
) -> None:
    by_name = {agent.name: agent for agent in agents}
    bindings = []
    for index, instance in enumerate(ready):
        agent = by_name[instance.worker]
        claim = placement_pb2.MemoryClaim(
            worker=agent.name,
            pool=f"GPU-{agent.number:05}-{index % 8}",
            size_bytes=GIB,
            parts=[placement_pb2.MemoryClaimPart(part=part, size_bytes=GIB // 4) for part in range(1, 5)],
            layers=33,
        )
        placement = placement_pb2.Placement(
            worker=agent.name, claims=[claim], gpu_layers=33, total_layers=33, context_length=4096
        )
        bindings.append(
            instance_service_pb2.Binding(
                instance=instance.name,
                etag=instance.etag,
                placement=placement,
                explanation=_explanation(agent),
            )
        )
    response = await client.instances.BindInstances(
        instance_service_pb2.BindInstancesRequest(bindings=bindings)
    )
    for result in response.results:
        by_name[result.instance.worker].instances.append(result.instance)
    refused = [result.status.message for result in response.results if result.status.code]
    if refused:
        sys.exit(f"{len(refused)} bindings were refused: {refused[0]}")


def _explanation(agent: PlayedAgent) -> placement_pb2.Explanation:
    parts = [
        placement_pb2.ScorePart(scorer=name, value=0.5, weight=2.0)
        for name in ("fit", "spread", "artifact_locality", "stickiness")
    ]
    return placement_pb2.Explanation(
        verdict=placement_pb2.VERDICT_PLACED,
        summary=f"all 33 layers on 1 GPU of {agent.name}",
        workers_considered=1000,
        workers=[
            placement_pb2.WorkerExplanation(
                worker=f"workers/gpu-{n:05}", rank=n + 1, score=9.5, score_parts=parts
            )
            for n in range(10)
        ],
    )
