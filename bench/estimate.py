"""How far estimates of llama.cpp's memory are from what it logs: random models, each loaded in real llama.cpp.

Files are sparse, so they cost no disk; what is kept of contexts is real memory. Each file is loaded in a process of its
own, on the CPU, started as an agent starts it.

The last line is JSON: how many files there were, and the largest errors, as parts of what was logged.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TypeVar

from lab.gguf_models import Shape, model
from lab.llama_cpp import Logged, load
from moorage_common.core.placement import FlashAttention, KvCacheType
from moorage_common.modelfiles.gguf import read_gguf_files
from moorage_scheduler.core.layers.ways import beside_ram
from moorage_scheduler.core.memory import Parts
from moorage_scheduler.core.request import LlamaCppOptions
from moorage_scheduler.estimators.gguf import gguf_profile

T = TypeVar("T")
_MIB = 2**20
_SMALLEST, _LARGEST = 10 * _MIB, 1500 * _MIB
_ROUNDED_BYTES = 2**14
"""llama.cpp logs hundredths of a MiB, and several buffers are added up."""


@dataclass(frozen=True)
class Case:
    """One model, and how it is started."""

    shape: Shape
    options: LlamaCppOptions
    shards: int


@dataclass(frozen=True)
class Compared:
    """Bytes, predicted and logged."""

    predicted: float
    logged: float

    @property
    def error(self) -> float:
        """As a part of what was logged. Negative: too little was predicted."""
        if abs(self.predicted - self.logged) <= _ROUNDED_BYTES:
            return 0.0
        return self.predicted / self.logged - 1 if self.logged else 1.0

    def __str__(self) -> str:
        return f"{self.predicted / _MIB:.2f} / {self.logged / _MIB:.2f} {100 * self.error:+.2f}%"


def _dense(random: Random, architecture: str, **others: object) -> Shape:
    length, heads = random.choice([64, 128]), random.choice([8, 16])
    shape = Shape(
        architecture=architecture,
        hidden=256 * random.randint(1, 8),
        heads=heads,
        heads_kv=heads // random.choice([2, 4, 8]),
        head_length=length,
        feed_forward=256 * random.randint(2, 20),
        vocabulary=random.choice([4000, 16000, 32000, 64000]),
        quantization=random.choice(["F16", "Q8_0", "Q4_0", "Q4_K", "Q6_K"]),
        tied=random.random() < 0.5,
    )
    return replace(shape, **others)


def _square(random: Random, architecture: str) -> Shape:
    """All heads of a block together are as wide as the block."""
    shape = _dense(random, architecture, heads=8, heads_kv=random.choice([1, 2, 8]))
    return replace(shape, head_length=shape.hidden // shape.heads)


def _experts(random: Random, architecture: str, **others: object) -> Shape:
    experts = random.choice([8, 16, 32])
    used, width = experts // random.choice([4, 8]), 256 * random.randint(1, 2)
    shape = _dense(random, architecture, experts=experts, experts_used=used, expert_width=width)
    return replace(shape, **others)


def _recurrent(random: Random, architecture: str, **others: object) -> Shape:
    shape = _square(random, architecture) if architecture == "jamba" else _dense(random, architecture)
    return replace(replace(shape, inner=2 * shape.hidden, state=random.choice([16, 64, 128])), **others)


def _plain(random: Random) -> str:
    """A quantisation that needs no rows of 256."""
    return random.choice(["F16", "Q8_0", "Q4_0"])


FAMILIES: list[Callable[[Random], Shape]] = [
    lambda random: _dense(random, "llama"),
    lambda random: _square(random, "qwen2"),
    lambda random: _dense(random, "qwen3", head_length=128),
    lambda random: _dense(random, "gemma2", tied=True, window=256 * random.randint(2, 16)),
    lambda random: _dense(random, "gemma3", tied=True, window=256 * random.randint(2, 4), head_length=256),
    lambda random: _experts(random, "qwen3moe"),
    lambda random: _experts(random, "deepseek2", quantization=_plain(random), tied=False),
    lambda random: _recurrent(random, "mamba2", quantization=_plain(random)),
    lambda random: _experts(random, "llama", experts=8, experts_used=2, expert_width=0, feed_forward=1024),
    lambda random: _recurrent(random, "falcon-h1", quantization=_plain(random)),
    lambda random: _recurrent(
        random, "jamba", quantization=_plain(random), state=16, experts=8, experts_used=2, expert_width=0
    ),
    lambda random: replace(_square(random, "lfm2"), tied=True),
    lambda random: _dense(
        random,
        "gemma4",
        tied=True,
        window=512,
        head_length=256,
        own_embedding=random.choice([0, 128]),
        quantization=_plain(random),
    ),
    lambda random: replace(
        _dense(random, "qwen35", quantization=_plain(random)), hidden=1024, inner=2048, state=128, groups=4
    ),
    lambda random: replace(
        _experts(random, "qwen3next", quantization=_plain(random)),
        hidden=1024,
        inner=2048,
        state=128,
        groups=4,
    ),
]
CONTEXTS = [512, 4096, 32768, 1000, 16384, 8192]


def cases(random: Random, count: int) -> Iterator[Case]:
    """Gives so many cases, among them every family, and every context, cache type and number of slots."""
    families, contexts = _deck(random, FAMILIES), _deck(random, CONTEXTS)
    slots, types, shards = (_deck(random, of) for of in ([1, 4, 1, 4, 3], list(KvCacheType), [1, 1, 1, 3]))
    for _ in range(count):
        kv_type = next(types)
        ways = [None, None, FlashAttention.OFF] if kv_type is KvCacheType.F16 else [None]
        options = LlamaCppOptions(
            context_length=next(contexts),
            parallel_slots=next(slots),
            kv_cache_type=kv_type,
            flash_attention=random.choice(ways),
            micro_batch_size=random.choice([512, 512, 128, 1024]),
            unified_kv_cache=random.random() < 0.25,
            forbid_mmap=random.random() < 0.25,
        )
        yield Case(_of_size(random, next(families)(random)), options, next(shards))


def _deck(random: Random, values: Sequence[T]) -> Iterator[T]:
    """Gives all values in some order, then all again."""
    while True:
        yield from random.sample(values, len(values))


def _of_size(random: Random, shape: Shape) -> Shape:
    """A shape with as many blocks as make a file of a random size."""
    wanted = int(_SMALLEST * (_LARGEST / _SMALLEST) ** random.random())
    few, more = model(replace(shape, blocks=6)).size, model(replace(shape, blocks=12)).size
    return replace(shape, blocks=6 + max(0, min(42, (wanted - few) * 6 // (more - few))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2 * len(FAMILIES))
    parser.add_argument("--seed", type=int, default=4)
    arguments = parser.parse_args()
    kept, all_told = [0.0], [0.0]
    print("predicted / logged MiB, error", flush=True)
    for number, case in enumerate(cases(Random(arguments.seed), arguments.files), start=1):
        began = time.perf_counter()
        found = compared(*measure(case))
        kept += [abs(found[part].error) for part in ("weights", "kv")]
        all_told.append(abs(found["total"].error))
        print(f"{number:3} {_named(case)}  ({time.perf_counter() - began:.1f} s)")
        print("    " + "  ".join(f"{part} {figures}" for part, figures in found.items()), flush=True)
    summary = {
        "files": arguments.files,
        "max_error_weights_kv": round(max(kept), 5),
        "max_error_total": round(max(all_told), 5),
    }
    print(json.dumps(summary))


def measure(case: Case) -> tuple[Parts, Logged]:
    """Returns what a case is predicted to need in RAM, and what llama.cpp takes."""
    with tempfile.TemporaryDirectory() as folder:
        paths = model(case.shape).write(Path(folder, "model.gguf"), shards=case.shards)
        predicted = beside_ram(gguf_profile(read_gguf_files(paths), case.options)).ram(0)
        return predicted, load(paths[0], case.options)


def compared(predicted: Parts, logged: Logged) -> dict[str, Compared]:
    """Returns each part as it was predicted, and as it is."""
    return {
        "weights": Compared(predicted.weights, logged.weights),
        "kv": Compared(predicted.kv_cache, logged.kv_cache),
        "compute": Compared(predicted.compute, logged.compute),
        "total": Compared(predicted.total - predicted.overhead, logged.total),
    }


def _named(case: Case) -> str:
    shape, options = case.shape, case.options
    words = [
        f"{shape.architecture} {shape.quantization}",
        f"{shape.blocks} blocks of {shape.hidden}",
        f"context {options.context_length}",
        f"slots {options.parallel_slots}{' in one' if options.unified_kv_cache else ''}",
        str(options.kv_cache_type),
    ]
    words += [f"flash attention {options.flash_attention}"] if options.flash_attention else []
    words += [f"micro batch {options.micro_batch_size}"] if options.micro_batch_size != 512 else []
    words += ["not mapped"] if options.forbid_mmap else []
    words += [f"{case.shards} shards"] if case.shards > 1 else []
    return ", ".join(words)


if __name__ == "__main__":
    main()
