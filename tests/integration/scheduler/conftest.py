"""Models without weights; schedulers on a real registry."""

import asyncio
import socket
from contextlib import asynccontextmanager
from random import Random

import pytest
from fleet_tools import GIB, Fleet

from lab.gguf_models import model
from moorage.common.v1 import engine_pb2, model_facts_pb2
from moorage.registry.v1 import worker_pb2, worker_service_pb2
from moorage_common.core.backoff import BackoffPolicy
from moorage_common.rpc.channels import ChannelConfig
from moorage_common.rpc.clients import SchedulerClient
from moorage_common.runtime.service import Process
from moorage_common.runtime.tasks import TaskSupervisor
from moorage_common.runtime.telemetry import Telemetry
from moorage_scheduler.config import SchedulerSettings
from moorage_scheduler.main import serve


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Writes a model once for all tests; gives its files."""
    folder, known = tmp_path_factory.mktemp("models"), {}

    def written(name, shape, *, shards=1):
        if (name, shards) not in known:
            known[name, shards] = model(shape).write(folder / f"{name}.gguf", shards=shards)
        return known[name, shards]

    return written


class Yard(Fleet):
    """A fleet whose nodes have llama.cpp, and whose models have weights."""

    async def register(
        self, worker="gpu-01", node="", gpus=1, gpu_bytes=24 * GIB, ram=64 * GIB, engines=True
    ):
        cuda = worker_pb2.ACCELERATOR_KIND_CUDA
        llama_cpp = worker_pb2.InstalledEngine(
            kind=engine_pb2.ENGINE_KIND_LLAMA_CPP, version="1", accelerator_kinds=[cuda]
        )
        facts = worker_pb2.NodeFacts(
            node_id=node or f"node-{worker}",
            operating_system=worker_pb2.OPERATING_SYSTEM_LINUX,
            cpu_architecture=worker_pb2.CPU_ARCHITECTURE_X86_64,
            cpu_cores=8,
            ram_total_bytes=ram,
            agent_address="127.0.0.1:7603",
            engines=[llama_cpp] if engines else [],
            accelerators=[
                worker_pb2.Accelerator(
                    uuid=f"GPU-{worker}-{index}", index=index, kind=cuda, memory_total_bytes=gpu_bytes
                )
                for index in range(gpus)
            ],
        )
        request = worker_service_pb2.RegisterWorkerRequest(name=f"workers/{worker}", facts=facts)
        return await self.client.workers.RegisterWorker(request)

    def artifact(self, artifact_id="a1", size=1000, source="hf:acme/tiny/model.gguf", block_bytes=GIB):
        artifact = super().artifact(artifact_id, size, source)
        gguf_facts = model_facts_pb2.GgufFacts(
            architecture="llama",
            block_count=4,
            block_bytes=[block_bytes] * 4,
            block_repack_bytes=[0] * 4,
            embedding_length=256,
            context_length=4096,
            head_counts=[4] * 4,
            head_counts_kv=[4] * 4,
            key_length=64,
            value_length=64,
            feed_forward_lengths=[1024] * 4,
            vocabulary_size=1000,
        )
        artifact.facts.CopyFrom(model_facts_pb2.ModelFacts(gguf=gguf_facts))
        return artifact

    async def until(self, condition, model_id="tiny", seconds=20):
        """The model's instances, once they satisfy the condition."""
        async with asyncio.timeout(seconds):
            while not condition(found := await self.instances(model_id)):
                await asyncio.sleep(0.02)
        return found


@pytest.fixture
def yard(registry):
    return Yard(registry.client)


@pytest.fixture
def run_scheduler():
    """Starts a scheduler in this process; gives a client of it."""

    @asynccontextmanager
    async def run(registry_address, **settings):
        values = {"registry_address": registry_address, "drain_grace_s": 1.0, **settings}
        telemetry = Telemetry(service="moorage-scheduler")
        async with TaskSupervisor(backoff=BackoffPolicy(), random=Random(0)) as tasks:
            process = Process(name="moorage-scheduler", telemetry=telemetry, tasks=tasks)
            address = settings.get("listen") or f"127.0.0.1:{_free_port()}"
            ready = SchedulerSettings(**{**values, "listen": address})
            serving = asyncio.create_task(serve(ready, process))
            config = ChannelConfig(target=address, wait_for_ready=True)
            try:
                async with SchedulerClient.connect(config, telemetry=telemetry) as client:
                    yield client
            finally:
                process.stopping.set()
                await serving

    return run


@pytest.fixture
async def scheduler(registry, run_scheduler):
    """A scheduler that places what waits in the test's registry."""
    async with run_scheduler(registry.address) as client:
        yield client.scheduler


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
