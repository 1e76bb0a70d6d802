"""How long one placement takes, on fleets of paper: workers of 8 GPUs with 4 instances each.

one_gpu     a vLLM model for one GPU
tp8         a vLLM model cut over 8 GPUs
gguf_multi  a llama.cpp model of four workers' GPUs

Each is placed many times with other seeds, explained in full. In between a heartbeat changes a worker, so every
placement has a snapshot of its own.
"""

import argparse
import gc
import json
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from moorage_common.core.placement import CpuArchitecture, ModelCategory, OperatingSystem
from moorage_common.core.states import AcceleratorKind, EngineKind
from moorage_scheduler.core.cluster import RAM, Accelerator, Condition, Engine, Tenant, Worker
from moorage_scheduler.core.fleet import Fleet
from moorage_scheduler.core.pipeline import place
from moorage_scheduler.core.policy import ScoringPolicy
from moorage_scheduler.core.request import LlamaCppOptions, Request, VllmOptions
from moorage_scheduler.core.sizes import LayerSizes, VllmSizes

GIB = 1 << 30
_GPUS = 8
_CARD = 80 * GIB
_CUDA = frozenset({AcceleratorKind.CUDA})

SMALL = VllmSizes(
    weight_bytes=16 * GIB,
    block_count=32,
    kv_bytes_per_token_per_block=4096,
    attention_head_count=32,
    kv_head_count=8,
    vocabulary_size=128256,
    context_length=8192,
    category=ModelCategory.LLM,
)
LARGE = replace(
    SMALL, weight_bytes=140 * GIB, block_count=80, attention_head_count=64, kv_bytes_per_token_per_block=4096
)
HUGE = LayerSizes(
    block_weight_bytes=(16 * GIB,) * 128,
    output_bytes=2 * GIB,
    kv_bytes_per_token_per_block=4096,
    context_length=8192,
)


def requests() -> dict[str, Request]:
    base = Request(model="models/new", seed="", facts=SMALL, artifact="artifacts/new", engine=EngineKind.VLLM)
    half = VllmOptions(gpu_memory_utilization=0.5)
    return {
        "one_gpu": replace(base, vllm=half),
        "tp8": replace(base, facts=LARGE, vllm=replace(half, tensor_parallel_size=8)),
        "gguf_multi": replace(
            base,
            facts=HUGE,
            engine=EngineKind.LLAMA_CPP,
            options=LlamaCppOptions(forbid_cpu_offload=True),
        ),
    }


def worker(number: int) -> Worker:
    name = f"workers/gpu-{number:05}"
    build = (Engine(version="0.32.0", drives=_CUDA),)
    return Worker(
        name=name,
        operating_system=OperatingSystem.LINUX,
        cpu_architecture=CpuArchitecture.X86_64,
        accelerators=tuple(
            Accelerator(uuid=f"{name}-{index}", kind=AcceleratorKind.CUDA, index=index, capability=(9, 0))
            for index in range(_GPUS)
        ),
        engines={EngineKind.VLLM: build, EngineKind.LLAMA_CPP: build},
    )


def condition(of: Worker, *, foreign: int = 0) -> Condition:
    pools = {RAM: 1024 * GIB, **{card.uuid: _CARD for card in of.accelerators}}
    return Condition(capacity=pools, total=pools, foreign={RAM: foreign})


def fleet(workers: list[Worker]) -> Fleet:
    made = Fleet()
    for number, each in enumerate(workers):
        made.put_worker(each, condition(each))
        for index in range(4):
            card = each.accelerators[2 * index].uuid
            tenant = Tenant(
                model=f"models/old-{number % 97}",
                worker=each.name,
                claims={(each.name, card): 10 * GIB, (each.name, RAM): 2 * GIB},
            )
            made.put_tenant(f"models/old-{number % 97}/instances/{number}-{index}", tenant)
    return made


def timings(made: Fleet, workers: list[Worker], request: Request, rounds: int) -> Iterator[float]:
    policy = ScoringPolicy()
    for number in range(rounds):
        beating = workers[number % len(workers)]
        made.put_worker(beating, condition(beating, foreign=number << 20))
        start = time.perf_counter()
        outcome = place(made.snapshot(), replace(request, seed=str(number)), policy)
        yield 1000 * (time.perf_counter() - start)
        if outcome.placement is None:
            raise SystemExit(f"it found no place: {outcome.explanation.summary}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    parser.add_argument("--rounds", type=int, default=300)
    options = parser.parse_args()
    p99: dict[str, dict[str, float]] = {name: {} for name in requests()}
    for size in options.sizes:
        workers = [worker(number) for number in range(size)]
        made = fleet(workers)
        for name, request in requests().items():
            list(timings(made, workers, request, 3))
            gc.collect()
            took = np.array(list(timings(made, workers, request, options.rounds)))
            p99[name][str(size)] = round(float(np.percentile(took, 99)), 2)
            print(
                f"{size:>6} workers  {name:<10}  p50 {np.percentile(took, 50):7.2f}"
                f"  p99 {np.percentile(took, 99):7.2f}  longest {took.max():7.2f} ms"
            )
    print(json.dumps({"p99_ms": p99}))


if __name__ == "__main__":
    main()
