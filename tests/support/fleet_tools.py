"""The registry's other sides, played by the tests: an agent, a downloader, a scheduler."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from moorage.common.v1 import model_facts_pb2, placement_pb2
from moorage.registry.v1 import (
    artifact_pb2,
    artifact_service_pb2,
    instance_pb2,
    instance_service_pb2,
    model_pb2,
    model_service_pb2,
    worker_pb2,
    worker_service_pb2,
)
from moorage_common.rpc.clients import RegistryClient

GIB = 1 << 30
SOURCE = "hf:acme/tiny/model.gguf"


@dataclass
class Agent:
    """A node that registers and beats, and does what its test says."""

    client: RegistryClient
    name: str
    lease_id: str
    heartbeats: asyncio.Queue = field(default_factory=asyncio.Queue)
    desired: asyncio.Queue = field(default_factory=asyncio.Queue)

    def beat(self, **fields) -> None:
        request = worker_service_pb2.HeartbeatRequest(worker=self.name, lease_id=self.lease_id, **fields)
        self.heartbeats.put_nowait(request)

    async def run(self) -> None:
        async def requests():
            while True:
                yield await self.heartbeats.get()

        async for response in self.client.workers.Heartbeat(requests()):
            if response.HasField("desired_state"):
                self.desired.put_nowait(response.desired_state)

    async def until_desired(
        self, check: Callable[[worker_service_pb2.DesiredNodeState], bool]
    ) -> worker_service_pb2.DesiredNodeState:
        """The first desired state that satisfies the check."""
        async with asyncio.timeout(10):
            while True:
                state = await self.desired.get()
                if check(state):
                    return state

    async def report(self, instance, state, **fields):
        request = instance_service_pb2.ReportInstanceRequest(
            instance=instance.name,
            uid=instance.uid,
            worker=self.name,
            lease_id=self.lease_id,
            state=state,
            **fields,
        )
        return (await self.client.instances.ReportInstance(request)).instance

    async def report_copy(self, artifact, state, **fields):
        request = artifact_service_pb2.ReportArtifactCopyRequest(
            name=f"{artifact}/copies/{self.name.removeprefix('workers/')}",
            lease_id=self.lease_id,
            state=state,
            **fields,
        )
        return (await self.client.artifacts.ReportArtifactCopy(request)).copy


@dataclass(frozen=True)
class Fleet:
    """Short words for what tests do to a registry again and again."""

    client: RegistryClient

    async def register(
        self, worker="gpu-01", node="node-1", gpus=1, gpu_bytes=24 * GIB, ram=64 * GIB, **labels
    ):
        facts = worker_pb2.NodeFacts(
            node_id=node,
            operating_system=worker_pb2.OPERATING_SYSTEM_LINUX,
            cpu_architecture=worker_pb2.CPU_ARCHITECTURE_X86_64,
            cpu_cores=8,
            ram_total_bytes=ram,
            agent_address="127.0.0.1:7603",
            accelerators=[
                worker_pb2.Accelerator(
                    uuid=f"GPU-{worker}-{index}",
                    index=index,
                    kind=worker_pb2.ACCELERATOR_KIND_CUDA,
                    memory_total_bytes=gpu_bytes,
                )
                for index in range(gpus)
            ],
        )
        request = worker_service_pb2.RegisterWorkerRequest(
            name=f"workers/{worker}", facts=facts, labels=labels
        )
        return await self.client.workers.RegisterWorker(request)

    @asynccontextmanager
    async def agent(self, worker="gpu-01", **facts) -> AsyncIterator[Agent]:
        """A worker whose heartbeat stream is open."""
        registered = await self.register(worker, **facts)
        agent = Agent(self.client, f"workers/{worker}", registered.lease_id)
        running = asyncio.create_task(agent.run())
        agent.beat()
        await agent.until_desired(lambda _: True)
        try:
            yield agent
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def create(self, model_id="tiny", *, source=SOURCE, **fields):
        request = model_service_pb2.CreateModelRequest(
            model_id=model_id, model=model_pb2.Model(source=source, **fields)
        )
        return (await self.client.models.CreateModel(request)).model

    async def model(self, model_id="tiny"):
        request = model_service_pb2.GetModelRequest(name=f"models/{model_id}")
        return (await self.client.models.GetModel(request)).model

    async def instances(self, model_id="tiny"):
        request = instance_service_pb2.ListInstancesRequest(parent=f"models/{model_id}")
        return list((await self.client.instances.ListInstances(request)).instances)

    async def worker(self, worker="gpu-01"):
        request = worker_service_pb2.GetWorkerRequest(name=f"workers/{worker}")
        return (await self.client.workers.GetWorker(request)).worker

    @asynccontextmanager
    async def agents(self, *workers, **facts) -> AsyncIterator[list[Agent]]:
        """Workers whose heartbeat streams are open."""
        async with AsyncExitStack() as stack:
            yield [
                await stack.enter_async_context(self.agent(worker, node=f"node-of-{worker}", **facts))
                for worker in workers
            ]

    def artifact(self, artifact_id="a1", size=1000, source=SOURCE, *, safetensors=False):
        facts = (
            model_facts_pb2.ModelFacts(
                safetensors=model_facts_pb2.SafetensorsFacts(architecture="LlamaForCausalLM")
            )
            if safetensors
            else model_facts_pb2.ModelFacts(gguf=model_facts_pb2.GgufFacts(architecture="llama"))
        )
        return artifact_pb2.Artifact(
            name=f"artifacts/{artifact_id}",
            source=source,
            revision="c0ffee",
            files=[artifact_pb2.ArtifactFile(path="model.gguf", size_bytes=size)],
            entry_point="model.gguf",
            facts=facts,
        )

    async def lease_resolutions(self, holder="downloader-1", held=()):
        request = artifact_service_pb2.LeaseResolutionsRequest(
            holder=holder, max_results=10, held_lease_ids=held
        )
        return list((await self.client.artifacts.LeaseResolutions(request)).leases)

    async def resolve_all(self, artifact=None):
        """Answers every waiting resolution with one artifact, and returns the artifact's name."""
        artifact = artifact or self.artifact()
        for lease in await self.lease_resolutions():
            await self.client.artifacts.ReportResolution(
                artifact_service_pb2.ReportResolutionRequest(lease_id=lease.lease_id, artifact=artifact)
            )
        return artifact.name

    async def lease_pulls(self, holder="downloader-1", address="127.0.0.1:7602", held=()):
        request = artifact_service_pb2.LeasePullsRequest(
            holder=holder, address=address, max_results=10, held_lease_ids=held
        )
        return list((await self.client.artifacts.LeasePulls(request)).leases)

    async def finish_pull(self, lease):
        files = [
            artifact_pb2.ArtifactFile(
                path=file.path,
                size_bytes=file.size_bytes,
                sha256="ab" * 32,
                digest_origin=artifact_pb2.DIGEST_ORIGIN_FIRST_SIGHT,
            )
            for file in lease.artifact.files
        ]
        await self.client.artifacts.ReportPull(
            artifact_service_pb2.ReportPullRequest(
                lease_id=lease.lease_id, pulled=artifact_service_pb2.PulledFiles(files=files)
            )
        )

    async def get_artifact(self, name):
        request = artifact_service_pb2.GetArtifactRequest(name=name)
        return (await self.client.artifacts.GetArtifact(request)).artifact

    async def nominate(self, *pairs):
        """Nominates (instance, worker id or empty) pairs."""
        nominations = [
            instance_service_pb2.Nomination(
                instance=instance.name,
                etag=instance.etag,
                worker=f"workers/{worker}" if worker else "",
                explanation=placement_pb2.Explanation(
                    verdict=placement_pb2.VERDICT_PLACED if worker else placement_pb2.VERDICT_NOT_NOW
                ),
            )
            for instance, worker in pairs
        ]
        request = instance_service_pb2.NominateInstancesRequest(nominations=nominations)
        return list((await self.client.instances.NominateInstances(request)).results)

    def binding(self, instance, worker="gpu-01", size=GIB, pool=None):
        placement = placement_pb2.Placement(
            worker=f"workers/{worker}",
            claims=[
                placement_pb2.MemoryClaim(
                    worker=f"workers/{worker}", pool=pool or f"GPU-{worker}-0", size_bytes=size
                )
            ],
        )
        return instance_service_pb2.Binding(
            instance=instance.name,
            etag=instance.etag,
            placement=placement,
            explanation=placement_pb2.Explanation(verdict=placement_pb2.VERDICT_PLACED),
        )

    async def nominate_over(self, instance, *workers):
        """Nominates an instance for several workers, the primary first."""
        primary, *subordinates = (f"workers/{worker}" for worker in workers)
        nomination = instance_service_pb2.Nomination(
            instance=instance.name,
            etag=instance.etag,
            worker=primary,
            subordinates=subordinates,
            explanation=placement_pb2.Explanation(verdict=placement_pb2.VERDICT_PLACED),
        )
        request = instance_service_pb2.NominateInstancesRequest(nominations=[nomination])
        [result] = (await self.client.instances.NominateInstances(request)).results
        return result

    def binding_over(self, instance, *workers, size=GIB):
        """A binding to a GPU of each of several workers, the primary first."""
        primary, *subordinates = (f"workers/{worker}" for worker in workers)
        claims = [
            placement_pb2.MemoryClaim(worker=f"workers/{worker}", pool=f"GPU-{worker}-0", size_bytes=size)
            for worker in workers
        ]
        return instance_service_pb2.Binding(
            instance=instance.name,
            etag=instance.etag,
            placement=placement_pb2.Placement(worker=primary, subordinates=subordinates, claims=claims),
            explanation=placement_pb2.Explanation(verdict=placement_pb2.VERDICT_PLACED),
        )

    async def bind_over(self, instance, *workers, size=GIB):
        [result] = await self.bind(self.binding_over(instance, *workers, size=size))
        return result

    async def ready_on(self, agents, model_id="big", *, safetensors=True, **fields):
        """A model whose artifact is ready on the agents' workers, with its instances PENDING."""
        made = {"source": f"hf:acme/{model_id}", **fields}
        await self.create(model_id, **made)
        artifact = await self.resolve_all(
            self.artifact(f"of-{model_id}", source=made["source"], safetensors=safetensors)
        )
        download = artifact_pb2.DownloadRecord(
            source=made["source"], workers=[agent.name for agent in agents]
        )
        await self.client.artifacts.CreateDownloadRecord(
            artifact_service_pb2.CreateDownloadRecordRequest(download=download)
        )
        await self.resolve_all(
            self.artifact(f"of-{model_id}", source=made["source"], safetensors=safetensors)
        )
        for agent in agents:
            await agent.report_copy(artifact, artifact_pb2.COPY_STATE_READY, done_bytes=1000)
        return await self.instances(model_id)

    async def bind(self, *bindings):
        request = instance_service_pb2.BindInstancesRequest(bindings=bindings)
        return list((await self.client.instances.BindInstances(request)).results)

    async def start(self, model_id="tiny"):
        request = model_service_pb2.StartModelRequest(name=f"models/{model_id}")
        return (await self.client.models.StartModel(request)).model

    async def stop(self, model_id="tiny"):
        request = model_service_pb2.StopModelRequest(name=f"models/{model_id}")
        return (await self.client.models.StopModel(request)).model

    async def restart(self, instance, **fields):
        request = instance_service_pb2.RestartInstanceRequest(name=instance.name, **fields)
        return (await self.client.instances.RestartInstance(request)).instance

    async def delete(self, model_id="tiny"):
        request = model_service_pb2.DeleteModelRequest(name=f"models/{model_id}")
        return await self.client.models.DeleteModel(request)

    async def bound(self, agent: Agent, size=GIB):
        """A model with one instance that is bound to the agent's worker; returns the instance, STARTING."""
        await self.create()
        artifact = await self.resolve_all()
        worker = agent.name.removeprefix("workers/")
        [instance] = await self.instances()
        await self.nominate((instance, worker))
        await agent.report_copy(artifact, artifact_pb2.COPY_STATE_READY, done_bytes=1000)
        [instance] = await self.instances()
        [result] = await self.bind(self.binding(instance, worker, size))
        assert result.status.code == 0, result.status.message
        assert result.instance.state == instance_pb2.INSTANCE_STATE_STARTING
        return result.instance
