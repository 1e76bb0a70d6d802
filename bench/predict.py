"""Predicted speed against measured: tokens a second of real llama.cpp on this CPU, and a case from two GPU workers.

Models with random weights, of different sizes, types and shapes, run with one thread each. Every one is predicted from
a calibration on the others: what is learned of this CPU from them, on top of what the scheduler assumes of any CPU.
Measured is what a core does while it runs the engine; the rounds go over all models in turn, and the best counts,
so that other work on the machine disturbs little.

The second part places DeepSeek-R1 (196 GB) on two workers with L40S cards, once with each as the primary, by the
scheduler's own code, and predicts both: the ratio stands beside the one that was measured on such workers.

Prints tables; the last line is one JSON object: {"models": …, "max_error": …}, the error as a part of the measured.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type

from lab.l40s import PRIMARIES, predict_l40s
from lab.llama import LlamaServer, llama_server
from lab.random_models import RandomModel
from moorage_common.core.placement import PlacementMode
from moorage_common.core.states import EngineKind
from moorage_common.modelfiles.gguf import read_gguf_files
from moorage_scheduler.core.cluster import RAM
from moorage_scheduler.core.request import Claim, Placement
from moorage_scheduler.prediction.calibration import learn
from moorage_scheduler.prediction.hardware import WorkerHardware
from moorage_scheduler.prediction.predict import Subject, predict, sample
from moorage_scheduler.prediction.shape import shape_of

MODELS = [
    RandomModel(name="small-q8_0", weights=Type.Q8_0, hidden=512, blocks=8, feed_forward=1536, heads=8),
    RandomModel(
        name="llama-q4_k", weights=Type.Q4_K, hidden=2048, blocks=6, feed_forward=5632, head_length=128
    ),
    RandomModel(name="llama-q6_k", weights=Type.Q6_K, hidden=1536, blocks=10, feed_forward=4096),
    RandomModel(name="llama-q8_0", weights=Type.Q8_0, hidden=1024, blocks=24, feed_forward=2816, heads_kv=16),
    RandomModel(
        name="llama-f16", weights=Type.F16, hidden=2048, blocks=10, feed_forward=5632, head_length=128
    ),
    RandomModel(
        name="moe-q8_0",
        weights=Type.Q8_0,
        hidden=1024,
        blocks=10,
        feed_forward=768,
        experts=16,
        experts_used=4,
    ),
    RandomModel(
        name="moe-f16", weights=Type.F16, hidden=1024, blocks=8, feed_forward=768, experts=16, experts_used=2
    ),
]
DEPTHS = (0, 1000)
CONTEXT = 4096
HERE = "workers/here"
_CPU = "this CPU"


@dataclass(frozen=True, slots=True)
class Case:
    """One model on this machine, and how fast it was at each depth of context."""

    model: RandomModel
    file_bytes: int
    subject: Subject
    measured: Mapping[int, float]


def measure(home: Path, rounds: int) -> list[Case]:
    paths = {model.name: model.write(home / f"{model.name}.gguf") for model in MODELS}
    best = {model.name: dict.fromkeys(DEPTHS, 0.0) for model in MODELS}
    with ExitStack() as stack:
        servers: dict[str, LlamaServer] = {
            name: stack.enter_context(llama_server(path, home, context=CONTEXT))
            for name, path in paths.items()
        }
        cache = cache_bytes()
        # One depth after the other: a server keeps what it has read of a prompt only for the next that begins alike.
        for depth in DEPTHS:
            for _ in range(rounds):
                for name, server in servers.items():
                    best[name][depth] = max(best[name][depth], server.tokens_per_s(depth))
                # Others' work takes cache away now and then; like speeds, the best counts.
                cache = max(cache, cache_bytes())
    hardware = WorkerHardware(cpu=_CPU, cpu_cores=1, cache_bytes=cache)
    print(f"this CPU's cache holds {cache / 2**20:.0f} MiB for one process")
    return [
        Case(
            model,
            paths[model.name].stat().st_size,
            _subject(paths[model.name], hardware),
            best[model.name],
        )
        for model in MODELS
    ]


def cache_bytes() -> int:
    """How much this CPU's last cache holds for one process: from what part of arrays of many sizes it holds."""
    sizes = [megabytes * 2**20 for megabytes in (16, 32, 48, 64, 96, 128, 192, 1024)]
    times = {size: 1 / _read_speed(size) for size in sizes}
    fast, slow = times[sizes[0]], times[sizes[-1]]
    held = {size: (slow - times[size]) / (slow - fast) for size in sizes[:-1]}
    # As predictions have it, nothing is held of half as much again as the cache holds. Small parts are noise.
    return max((int(2 * size / (3 - min(1.0, part))) for size, part in held.items() if part > 0.3), default=0)


def _read_speed(size: int) -> float:
    array = np.ones(size // 8)
    times = max(1, 2**29 // size)
    best = 0.0
    for _ in range(5):
        started = _thread_s()
        for _ in range(times):
            array.sum()
        best = max(best, times * size / (_thread_s() - started))
    return best


def _thread_s() -> float:
    return int(Path("/proc/thread-self/schedstat").read_text().split()[0]) / 1e9


def _subject(path: Path, hardware: WorkerHardware) -> Subject:
    facts = read_gguf_files([path])
    layers = facts.block_count + 1
    placement = Placement(
        worker=HERE,
        claims=(Claim(worker=HERE, pool=RAM, parts={}, layers=layers),),
        engine=EngineKind.LLAMA_CPP,
        mode=PlacementMode.CPU,
        gpu_layers=0,
        total_layers=layers,
        context_length=CONTEXT,
        score=0.0,
    )
    return Subject(placement=placement, shape=shape_of(facts), workers={HERE: hardware}, threads=1)


def compare(cases: Sequence[Case]) -> float:
    """Prints predicted beside measured; returns the largest error."""
    print(
        f"{'model':12} {'file MB':>8} {'read MB':>8} {'depth':>6} {'predicted':>10} {'measured':>9} {'ratio':>6}"
    )
    worst = 0.0
    for case in cases:
        others = [
            found
            for other in cases
            if other is not case and (found := sample(other.subject, measured_tokens_per_s=other.measured[0]))
        ]
        calibration = learn(others)
        for depth, measured in case.measured.items():
            prediction = predict(case.subject, calibration, depth=depth)
            if prediction is None:
                raise LookupError(case.model.name)
            ratio = prediction.decode_tokens_per_s / measured
            worst = max(worst, abs(ratio - 1))
            sizes = (case.file_bytes / 1e6, prediction.stages[0].active_bytes / 1e6)
            print(
                f"{case.model.name:12} {sizes[0]:8.0f} {sizes[1]:8.1f} {depth:6}"
                f" {prediction.decode_tokens_per_s:10.1f} {measured:9.1f} {ratio:6.2f}"
            )
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="moorage-bench-") as home:
        cases = measure(Path(home), options.rounds)
    worst = compare(cases)
    print()
    predict_l40s(PRIMARIES)
    print(json.dumps({"models": len(cases), "max_error": round(worst, 3)}))


if __name__ == "__main__":
    main()
