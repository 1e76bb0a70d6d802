"""What it costs to read the headers of large models.

Files are written whose headers are as large as those of real models, with data that takes no room on the disk: a
GGUF with a vocabulary of 128k tokens and 280k merges, one safetensors file with 128k tensors, and a model in 163
files with an index of 89k tensors. Each is read several times; what counts is processor time at the median, and
memory at its highest. For comparison, Python's own JSON reader takes the header of the second, checking nothing.

Prints a table; the last line is one JSON object: milliseconds and MB, by what was read.
"""

import argparse
import json
import statistics
import struct
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from moorage_common.modelfiles.gguf import read_gguf_files
from moorage_common.modelfiles.safetensors import read_safetensors_folder
from moorage_common.modelfiles.safetensors_index import INDEX_NAME

TOKENS, MERGES, TENSORS = 128_256, 280_147, 128_000
SHARDS, EXPERTS, LAYERS = 163, 256, 58
CONFIG = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "model_type": "deepseek_v3",
    "hidden_size": 7168,
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "n_routed_experts": EXPERTS,
    "num_experts_per_tok": 8,
    "vocab_size": 129280,
    "max_position_embeddings": 163840,
    "quantization_config": {"quant_method": "fp8"},
}
_STRING, _ARRAY, _U32, _I32 = 8, 9, 4, 5


def write_gguf(path: Path) -> None:
    """A llama of 80 blocks with a large tokenizer."""
    numbers = {"block_count": 80, "context_length": 131072, "embedding_length": 32}
    keys = [_text("general.architecture") + struct.pack("<I", _STRING) + _text("llama")]
    keys += [_text(f"llama.{name}") + struct.pack("<II", _U32, number) for name, number in numbers.items()]
    for name, count in (("tokens", TOKENS), ("merges", MERGES)):
        strings = b"".join(_text(f"Ġ{n} {n}") for n in range(count))
        keys.append(_text(f"tokenizer.ggml.{name}") + struct.pack("<IIQ", _ARRAY, _STRING, count) + strings)
    types = struct.pack("<IIQ", _ARRAY, _I32, TOKENS) + bytes(4 * TOKENS)
    keys.append(_text("tokenizer.ggml.token_type") + types)
    names = ["token_embd.weight", *(f"blk.{block}.attn_q.weight" for block in range(80)), "output.weight"]
    tensors = [
        _text(name) + struct.pack("<IQQIQ", 2, 32, 32, 0, 4096 * index) for index, name in enumerate(names)
    ]
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys) + b"".join(tensors)
    _write(path, header, -len(header) % 32 + 4096 * len(names))


def write_safetensors(path: Path, names: list[str]) -> None:
    """Matrices of one row each: what they hold does not matter, how many there are does."""
    entries = {
        name: {"dtype": "F8_E4M3", "shape": [1, 2048], "data_offsets": [2048 * index, 2048 * (index + 1)]}
        for index, name in enumerate(names)
    }
    header = json.dumps(entries, separators=(",", ":")).encode()
    _write(path, struct.pack("<Q", len(header)) + header, 2048 * len(names))


def write_whole(folder: Path) -> None:
    """One file of 128k tensors."""
    (folder / "config.json").write_text(json.dumps(CONFIG))
    names = [f"model.layers.{n // 2000}.mlp.experts.{n % 2000}.down_proj.weight" for n in range(TENSORS)]
    write_safetensors(folder / "model.safetensors", names)


def write_sharded(folder: Path) -> None:
    """As many tensors in as many files as DeepSeek-R1 has."""
    (folder / "config.json").write_text(json.dumps(CONFIG))
    names = [
        f"model.layers.{layer}.mlp.experts.{expert}.{part}_proj.{kind}"
        for layer in range(LAYERS)
        for expert in range(EXPERTS)
        for part in ("gate", "up", "down")
        for kind in ("weight", "weight_scale_inv")
    ]
    weight_map = {}
    for shard in range(SHARDS):
        file_name = f"model-{shard + 1:05}-of-{SHARDS:06}.safetensors"
        part = names[shard::SHARDS]
        write_safetensors(folder / file_name, part)
        weight_map |= dict.fromkeys(part, file_name)
    (folder / INDEX_NAME).write_text(json.dumps({"weight_map": weight_map}, indent=2))


def measure(read: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Returns the median of the processor's milliseconds, and the most MB that were held at a time."""
    times = []
    for _ in range(rounds):
        started = time.process_time()
        read()
        times.append((time.process_time() - started) * 1000)
    tracemalloc.start()
    read()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return statistics.median(times), peak


def _text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def _write(path: Path, header: bytes, data_bytes: int) -> None:
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + data_bytes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="moorage-headers-") as scratch:
        gguf, whole, sharded = (Path(scratch) / name for name in ("m.gguf", "whole", "sharded"))
        write_gguf(gguf)
        for folder, write in ((whole, write_whole), (sharded, write_sharded)):
            folder.mkdir()
            write(folder)
        header = (whole / "model.safetensors").read_bytes()[8:].rstrip(b"\0")
        cases: dict[str, Callable[[], object]] = {
            "gguf_128k_tokens": lambda: read_gguf_files([gguf]),
            "safetensors_128k_tensors": lambda: read_safetensors_folder(whole),
            "safetensors_163_shards": lambda: read_safetensors_folder(sharded),
            "json_loads_128k_tensors": lambda: json.loads(header),
        }
        result = {}
        print(f"{'what':28} {'CPU ms':>8} {'MB':>7}")
        for name, read in cases.items():
            ms, peak_mb = measure(read, rounds)
            print(f"{name:28} {ms:8.1f} {peak_mb:7.1f}")
            result[name] = {"ms": round(ms, 1), "mb": round(peak_mb, 1)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
