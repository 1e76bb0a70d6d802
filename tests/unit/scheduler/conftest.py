"""Fleets and models on paper."""

import asyncio
from dataclasses import dataclass, replace
from types import MappingProxyType

import pytest

from moorage.common.v1 import engine_pb2, model_facts_pb2
from moorage.registry.v1 import artifact_pb2, instance_pb2, model_pb2, worker_pb2
from moorage_common.core.placement import CpuArchitecture, ModelCategory, OperatingSystem
from moorage_common.core.states import AcceleratorKind, EngineKind, WorkerState
from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_common.rpc.cache import CacheSnapshot
from moorage_scheduler.core.cluster import RAM, Accelerator, Condition, Engine, Tenant, Worker
from moorage_scheduler.core.fleet import Fleet
from moorage_scheduler.core.pipeline import place
from moorage_scheduler.core.policy import ScoringPolicy
from moorage_scheduler.core.request import LlamaCppOptions, Request, Selection
from moorage_scheduler.core.sizes import VllmSizes

MIB, GIB = 2**20, 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperWorker:
    """One worker, with the most usual of everything."""

    name: str
    ram: int = 64 * GIB
    gpus: tuple[int, ...] = ()
    """Capacity of each, in bytes."""
    kind: AcceleratorKind = AcceleratorKind.CUDA
    kinds: tuple[AcceleratorKind, ...] = ()
    """Of each GPU. Empty: all are of `kind`."""
    drives: frozenset[AcceleratorKind] | None = None
    """None: the kinds that it has."""
    unified: bool = False
    system: OperatingSystem | None = OperatingSystem.LINUX
    architecture: CpuArchitecture | None = CpuArchitecture.X86_64
    labels: tuple[tuple[str, str], ...] = ()
    state: WorkerState = WorkerState.READY
    cordoned: bool = False
    installed: bool = True
    engine: EngineKind = EngineKind.LLAMA_CPP
    version: str = "1"
    other_versions: tuple[str, ...] = ()
    """Of further builds, which can do the same."""
    distributes: bool = True
    draining: bool = False
    maintenance: bool = False
    disk_free: int | None = None
    paths: frozenset[str] = frozenset()
    capability: tuple[int, ...] = ()
    driver: tuple[int, ...] = ()
    bytes_per_s: float = 0.0
    links: tuple[str, ...] = ()
    """The link group of each GPU. Empty: none has any."""
    switches: tuple[str, ...] = ()
    """The switch group of each GPU. Empty: none has any."""
    reserved: int = 0
    """Bytes of each GPU that are not part of its capacity."""
    foreign: tuple[tuple[str, int], ...] = ()
    serves: str = ""
    """A distributed vLLM instance in which it takes part."""

    def gpu(self, index):
        return f"{self.name}/gpu{index}"

    def parts(self):
        kinds = self.kinds or (self.kind,) * len(self.gpus)
        cards = tuple(
            Accelerator(
                uuid=self.gpu(i),
                kind=kind,
                # Each kind is numbered by its own driver.
                index=kinds[:i].count(kind),
                capability=self.capability,
                driver=self.driver,
                bytes_per_s=self.bytes_per_s,
                link_group=self.links[i] if self.links else "",
                switch_group=self.switches[i] if self.switches else "",
            )
            for i, kind in enumerate(kinds)
        )
        drives = frozenset(kinds) if self.drives is None else self.drives
        worker = Worker(
            name=self.name,
            operating_system=self.system,
            cpu_architecture=self.architecture,
            labels=dict(self.labels),
            accelerators=cards,
            engines={
                self.engine: tuple(
                    Engine(version=version, drives=drives, distributes=self.distributes)
                    for version in (self.version, *self.other_versions)
                )
            }
            if self.installed
            else {},
            unified_memory=self.unified,
            local_paths=self.paths,
        )
        sizes = {} if self.unified else {self.gpu(i): size for i, size in enumerate(self.gpus)}
        condition = Condition(
            state=self.state,
            cordoned=self.cordoned,
            draining=self.draining,
            maintenance=self.maintenance,
            disk_free=self.disk_free,
            total={RAM: self.ram, **{pool: size + self.reserved for pool, size in sizes.items()}},
            capacity={RAM: self.ram, **sizes},
            foreign=dict(self.foreign),
        )
        return worker, condition


def alone(model, worker, claims):
    """An instance on one worker, with its claims by pool."""
    return Tenant(model=model, worker=worker, claims={(worker, pool): size for pool, size in claims.items()})


class Paper:
    """Builds what the tests need."""

    Worker = PaperWorker
    MIB, GIB = MIB, GIB

    @staticmethod
    def facts(*, blocks=4, block_bytes=GIB, **others):
        """A dense model without surprises; whole GiB of weights per block."""
        base = GgufFacts(
            architecture="llama",
            model_name="paper",
            parameter_count=1,
            quantization="F16",
            file_type="F16",
            block_count=blocks,
            context_length=8192,
            embedding_length=1024,
            vocabulary_size=32000,
            own_embedding_length=0,
            feed_forward_lengths=(4096,) * blocks,
            head_counts=(16,) * blocks,
            head_counts_kv=(8,) * blocks,
            key_length=64,
            value_length=64,
            sliding_window=0,
            sliding_window_blocks=(),
            expert_count=0,
            expert_used_count=0,
            expert_feed_forward_length=0,
            kv_lora_rank=0,
            block_bytes=(block_bytes,) * blocks,
            block_repack_bytes=(0,) * blocks,
            output_bytes=64 * MIB,
            output_repack_bytes=0,
            token_embedding_bytes=64 * MIB,
            other_bytes=0,
            tied_embedding=False,
            total_tensor_bytes=blocks * block_bytes + 128 * MIB,
            block_key_elements=(),
            block_value_elements=(),
            shared_expert_feed_forward_length=0,
            ungated_feed_forward=False,
            fused_attention=False,
            parallel_feed_forward=False,
            post_normed=False,
            key_length_mla=0,
            value_length_mla=0,
            block_state_bytes=(0,) * blocks,
            recurrent_inner_length=0,
            recurrent_state_length=0,
            recurrent_group_count=0,
            recurrent_head_count=0,
            recurrent_kernel_length=0,
            nextn_block_count=0,
            block_expert_bytes=(0,) * blocks,
            largest_block_tensor_bytes=block_bytes // 4,
            unmapped_bytes=0,
            projector_bytes=0,
            category=ModelCategory.LLM,
        )
        facts = replace(base, **others)
        if facts.block_key_elements:
            return facts
        values = 0 if facts.kv_lora_rank else facts.value_length
        return replace(
            facts,
            block_key_elements=tuple(heads * facts.key_length for heads in facts.head_counts_kv),
            block_value_elements=tuple(heads * values for heads in facts.head_counts_kv),
        )

    @staticmethod
    def shards(**others):
        """What a model of four blocks takes in vLLM, and nothing else."""
        free = {"gpu_overhead_bytes": 0, "ram_overhead_bytes": 0}
        return VllmSizes(**{"weight_bytes": 40, "block_count": 4, "context_length": 512, **free, **others})

    @classmethod
    def request(cls, *, facts=None, options=None, workers=(), labels=None, **others):
        return Request(
            **{
                "model": "models/m",
                "seed": "seed",
                "artifact": "artifacts/a",
                "facts": facts or cls.facts(),
                "options": options or LlamaCppOptions(),
                "selection": Selection(workers=frozenset(workers), labels=labels or {}),
                **others,
            }
        )

    @staticmethod
    def fleet(*workers, tenants=(), copies=()):
        """A fleet of paper workers.

        Args:
            workers: The workers.
            tenants: (model, worker, claims by pool) of each instance, or a Tenant.
            copies: (artifact, worker) of each artifact that is ready.
        """
        fleet = Fleet()
        for worker in workers:
            fleet.put_worker(*worker.parts())
            if worker.serves:
                members = {"worker": worker.name, "subordinates": ("elsewhere",)}
                fleet.put_tenant(worker.serves, Tenant(model="models/x", exclusive=True, **members))
        for index, tenant in enumerate(tenants):
            held = tenant if isinstance(tenant, Tenant) else alone(*tenant)
            fleet.put_tenant(f"{held.model}/instances/{index}", held)
        for artifact, worker in copies:
            fleet.put_copy(artifact, worker)
        return fleet

    @classmethod
    def snapshot(cls, *workers, **others):
        return cls.fleet(*workers, **others).snapshot()

    @staticmethod
    def place(snapshot, request, **others):
        return place(snapshot, request, others.pop("policy", ScoringPolicy()), **others)


@pytest.fixture(scope="session")
def paper():
    return Paper


class Registry:
    """The registry's resources on paper, as the informer's cache shows them."""

    def __init__(self):
        self.state = {kind: {} for kind in ("workers", "models", "instances", "artifacts", "copies")}
        self.generation = 0
        self.versions = 0
        self.synced = True
        self._changed = asyncio.Event()

    def snapshot(self):
        kinds = {kind: MappingProxyType(dict(held)) for kind, held in self.state.items()}
        return CacheSnapshot(**kinds, generation=self.generation)

    async def changed(self, *, since):
        while self.generation == since:
            await self._changed.wait()
        return self.generation

    def put(self, kind, message):
        self.versions += 1
        message.version = self.versions
        message.etag = f"etag-{self.versions}"
        self.state[kind][message.name] = message
        self._bump()
        return message

    def drop(self, kind, name):
        del self.state[kind][name]
        self._bump()

    def _bump(self):
        self.generation += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def worker(self, name="workers/w", *, ram=64 * GIB, gpus=(), cordoned=False, state="READY", **pools):
        cards = [
            worker_pb2.Accelerator(uuid=f"{name}/{i}", kind=worker_pb2.ACCELERATOR_KIND_CUDA)
            for i in range(len(gpus))
        ]
        engine = worker_pb2.InstalledEngine(
            kind=engine_pb2.ENGINE_KIND_LLAMA_CPP, accelerator_kinds=[worker_pb2.ACCELERATOR_KIND_CUDA]
        )
        return self.put(
            "workers",
            worker_pb2.Worker(
                name=name,
                state=worker_pb2.WorkerState.Value(f"WORKER_STATE_{state}"),
                cordoned=cordoned,
                facts=worker_pb2.NodeFacts(
                    operating_system=worker_pb2.OPERATING_SYSTEM_LINUX,
                    cpu_architecture=worker_pb2.CPU_ARCHITECTURE_X86_64,
                    accelerators=cards,
                    engines=[engine],
                ),
                ram=worker_pb2.MemoryPool(pool="ram", total_bytes=ram, **pools),
                accelerator_memory=[
                    worker_pb2.MemoryPool(pool=card.uuid, total_bytes=size)
                    for card, size in zip(cards, gpus, strict=True)
                ],
            ),
        )

    def model(self, name="models/m", *, artifact="artifacts/a", facts=None, **fields):
        """A resolved model and its artifact."""
        if artifact:
            gguf = model_facts_pb2.GgufFacts(
                block_count=2, block_bytes=[GIB, GIB], embedding_length=64, context_length=512
            )
            facts = facts or model_facts_pb2.ModelFacts(gguf=gguf)
            self.put("artifacts", artifact_pb2.Artifact(name=artifact, facts=facts))
        resolution = model_pb2.ModelResolution(artifact=artifact)
        return self.put("models", model_pb2.Model(name=name, resolution=resolution, **fields))

    def instance(self, number=0, *, model="models/m", state="PENDING", uid="", **fields):
        return self.put(
            "instances",
            instance_pb2.Instance(
                name=f"{model}/instances/{number}",
                uid=uid or f"uid-{number}",
                state=instance_pb2.InstanceState.Value(f"INSTANCE_STATE_{state}"),
                **fields,
            ),
        )

    def copy(self, worker="workers/w", *, artifact="artifacts/a", state="READY"):
        name = f"{artifact}/copies/{worker.removeprefix('workers/')}"
        return self.put(
            "copies",
            artifact_pb2.ArtifactCopy(
                name=name,
                artifact=artifact,
                worker=worker,
                state=artifact_pb2.CopyState.Value(f"COPY_STATE_{state}"),
            ),
        )


@pytest.fixture
def records():
    return Registry()
