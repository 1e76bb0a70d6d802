"""Random models and what real llama.cpp says of their memory; schedulers on a real registry."""

import asyncio
import json
import re
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import gguf
import numpy as np
import pytest
from fleet_tools import GIB, Fleet

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

_LOADER = """
import json, os, sys, xllamacpp
options = json.loads(sys.argv[2])
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.hostnames = ["127.0.0.1"]
params.port = 0
params.ui = params.warmup = params.fit_params = False
params.verbosity = 5
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.n_ctx = options["context_length"]
params.n_parallel = options["parallel_slots"]
params.cache_type_k = params.cache_type_v = getattr(xllamacpp.ggml_type, options["kv_cache_type"])
server = xllamacpp.Server(params)
with open("/proc/self/status") as status:
    resident = [line for line in status if line.startswith("VmRSS")]
print("resident", resident[0].split()[1], flush=True)
os._exit(0)
"""
_BUFFER = re.compile(r"CPU\w* +(model|KV|compute|output) buffer size = +([0-9.]+) MiB")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A model to write."""

    architecture: str = "llama"
    hidden: int = 512
    blocks: int = 8
    heads: int = 8
    heads_kv: int = 4
    head_length: int = 64
    feed_forward: int = 1536
    vocabulary: int = 8000
    quantization: gguf.GGMLQuantizationType | None = None
    """None: F16."""
    tied: bool = False
    metadata: dict = field(default_factory=dict)
    """More keys, under the architecture's prefix."""

    @property
    def experts(self):
        return self.metadata.get("expert_count", 0)


@dataclass(frozen=True)
class Logged:
    """What llama.cpp allocated, in bytes."""

    weights: float
    kv_cache: float
    compute: float
    resident: float


def write(path, shape):
    writer = gguf.GGUFWriter(path, shape.architecture)
    writer.add_context_length(32768)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.blocks)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads_kv)
    writer.add_key_length(shape.head_length)
    writer.add_value_length(shape.head_length)
    writer.add_layer_norm_rms_eps(1e-5)
    for key, value in shape.metadata.items():
        add = writer.add_float32 if isinstance(value, float) else writer.add_uint32
        add(f"{shape.architecture}.{key}", value)
    _add_tokens(writer, shape.vocabulary)
    for name, dimensions in tensors(shape):
        _add_tensor(writer, name, dimensions, shape.quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokens(writer, count):
    tokens = [b"<unk>", b"<s>", b"</s>", *(f"<0x{byte:02X}>".encode() for byte in range(256))]
    tokens += [f"t{index}".encode() for index in range(count - len(tokens))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * count)
    writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * (count - 259))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def tensors(shape):
    hidden, queries = shape.hidden, shape.heads * shape.head_length
    keys = shape.heads_kv * shape.head_length
    yield "token_embd.weight", (shape.vocabulary, hidden)
    yield "output_norm.weight", (hidden,)
    if not shape.tied:
        yield "output.weight", (shape.vocabulary, hidden)
    for index in range(shape.blocks):
        block = f"blk.{index}."
        yield block + "attn_norm.weight", (hidden,)
        yield block + "ffn_norm.weight", (hidden,)
        yield block + "attn_q.weight", (queries, hidden)
        yield block + "attn_k.weight", (keys, hidden)
        yield block + "attn_v.weight", (keys, hidden)
        yield block + "attn_output.weight", (hidden, queries)
        yield from _of_architecture(shape, block, queries, keys)
        yield from _feed_forward(shape, block)


def _of_architecture(shape, block, queries, keys):
    if shape.architecture == "gemma2":
        yield block + "post_attention_norm.weight", (shape.hidden,)
        yield block + "post_ffw_norm.weight", (shape.hidden,)
    if shape.architecture in {"qwen3", "qwen3moe"}:
        yield block + "attn_q_norm.weight", (shape.head_length,)
        yield block + "attn_k_norm.weight", (shape.head_length,)
    if shape.architecture == "qwen2":
        yield block + "attn_q.bias", (queries,)
        yield block + "attn_k.bias", (keys,)
        yield block + "attn_v.bias", (keys,)


def _feed_forward(shape, block):
    hidden, width = shape.hidden, shape.feed_forward
    if shape.experts:
        width = shape.metadata["expert_feed_forward_length"]
        yield block + "ffn_gate_inp.weight", (shape.experts, hidden)
        for part in ("gate", "up"):
            yield f"{block}ffn_{part}_exps.weight", (shape.experts, width, hidden)
        yield block + "ffn_down_exps.weight", (shape.experts, hidden, width)
    else:
        for part in ("gate", "up"):
            yield f"{block}ffn_{part}.weight", (width, hidden)
        yield block + "ffn_down.weight", (hidden, width)


def _add_tensor(writer, name, dimensions, quantization):
    noise = np.random.default_rng(0).standard_normal(1 << 14).astype(np.float32) * 0.02
    values = np.resize(noise, dimensions)
    if len(dimensions) == 1 or name.endswith("gate_inp.weight"):
        writer.add_tensor(name, values)
    elif quantization is None:
        writer.add_tensor(name, values.astype(np.float16))
    else:
        writer.add_tensor(name, gguf.quants.quantize(values, quantization), raw_dtype=quantization)


def load(path, *, context_length=4096, parallel_slots=1, kv_cache_type="F16"):
    options = {
        "context_length": context_length,
        "parallel_slots": parallel_slots,
        "kv_cache_type": f"GGML_TYPE_{kv_cache_type}",
    }
    done = subprocess.run(
        [sys.executable, "-c", _LOADER, str(path), json.dumps(options)],
        capture_output=True, text=True, timeout=100, check=False, env={"GGML_NO_BACKTRACE": "1"},
    )  # fmt: skip
    text = done.stdout + done.stderr
    assert "resident" in text, text[-2000:]
    sizes = dict.fromkeys(("model", "KV", "compute", "output"), 0.0)
    for kind, size in _BUFFER.findall(text):
        sizes[kind] += float(size) * 2**20
    resident = re.search(r"resident (\d+)", text)
    return Logged(
        weights=sizes["model"],
        kv_cache=sizes["KV"],
        compute=sizes["compute"] + sizes["output"],
        resident=int(resident[1]) * 1024,
    )


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Writes a model once for all tests; gives its path."""
    folder, known = tmp_path_factory.mktemp("models"), {}

    def written(name, shape):
        if name not in known:
            known[name] = write(folder / f"{name}.gguf", shape)
        return known[name]

    return written


@pytest.fixture(scope="session")
def llama_cpp():
    """Loads a model in a real llama.cpp; gives what it logged."""
    return load


@pytest.fixture(scope="session")
def shape():
    return Shape


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
