"""Fleets and models on paper."""

from dataclasses import dataclass, replace

import pytest

from moorage_common.core.placement import CpuArchitecture, OperatingSystem
from moorage_common.core.states import AcceleratorKind, EngineKind, WorkerState
from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_scheduler.core.cluster import RAM, Accelerator, Condition, Engine, Tenant, Worker
from moorage_scheduler.core.fleet import Fleet
from moorage_scheduler.core.pipeline import place
from moorage_scheduler.core.policy import ScoringPolicy
from moorage_scheduler.core.request import LlamaCppOptions, Request, Selection

MIB, GIB = 2**20, 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperWorker:
    """One worker, with the most usual of everything."""

    name: str
    ram: int = 64 * GIB
    gpus: tuple[int, ...] = ()
    """Capacity of each, in bytes."""
    kind: AcceleratorKind = AcceleratorKind.CUDA
    drives: frozenset[AcceleratorKind] | None = None
    """None: the kind that it has."""
    unified: bool = False
    system: OperatingSystem | None = OperatingSystem.LINUX
    architecture: CpuArchitecture | None = CpuArchitecture.X86_64
    labels: tuple[tuple[str, str], ...] = ()
    state: WorkerState = WorkerState.READY
    cordoned: bool = False
    installed: bool = True
    foreign: tuple[tuple[str, int], ...] = ()

    def gpu(self, index):
        return f"{self.name}/gpu{index}"

    def parts(self):
        cards = tuple(Accelerator(uuid=self.gpu(i), kind=self.kind) for i in range(len(self.gpus)))
        drives = frozenset({self.kind}) if self.drives is None and self.gpus else self.drives or frozenset()
        worker = Worker(
            name=self.name,
            operating_system=self.system,
            cpu_architecture=self.architecture,
            labels=dict(self.labels),
            accelerators=cards,
            engines={EngineKind.LLAMA_CPP: Engine(version="1", drives=drives)} if self.installed else {},
            unified_memory=self.unified,
        )
        sizes = {} if self.unified else {self.gpu(i): size for i, size in enumerate(self.gpus)}
        condition = Condition(
            state=self.state,
            cordoned=self.cordoned,
            capacity={RAM: self.ram, **sizes},
            foreign=dict(self.foreign),
        )
        return worker, condition


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
        )
        return replace(base, **others)

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
            tenants: (model, worker, claims) of each instance.
            copies: (artifact, worker) of each artifact that is ready.
        """
        fleet = Fleet()
        for worker in workers:
            fleet.put_worker(*worker.parts())
        for index, (model, worker, claims) in enumerate(tenants):
            fleet.put_tenant(f"{model}/instances/{index}", Tenant(model=model, worker=worker, claims=claims))
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
