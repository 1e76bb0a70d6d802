"""Writes models in safetensors by hand, right or deliberately wrong."""

import json
import struct
from math import prod

BYTES = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "U8": 1, "I8": 1, "I32": 4, "I64": 8}

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 320,
    "max_position_embeddings": 2048,
    "rope_theta": 10000.0,
    "torch_dtype": "bfloat16",
}

TENSORS = {
    "model.embed_tokens.weight": ("BF16", [320, 64]),
    "model.layers.0.self_attn.q_proj.weight": ("BF16", [64, 64]),
    "model.layers.0.mlp.up_proj.weight": ("BF16", [128, 64]),
    "model.layers.1.self_attn.q_proj.weight": ("BF16", [64, 64]),
    "model.norm.weight": ("F32", [64]),
    "lm_head.weight": ("BF16", [320, 64]),
}


def entries(tensors):
    """The header's entries of tensors, given each one's dtype and shape, and how many bytes they have."""
    found, end = {}, 0
    for name, (dtype, shape) in tensors.items():
        begin, end = end, end + prod(shape) * BYTES[dtype]
        found[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    return found, end


def header(content):
    """The length and the header, given its JSON as a value or as bytes."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack("<Q", len(raw)) + raw


def file_bytes(tensors):
    """A whole file, all zeros."""
    found, size = entries(tensors)
    return header({"__metadata__": {"format": "pt"}, **found}) + bytes(size)


def write_file(path, tensors):
    """Writes a file whose data takes no room on the disk."""
    found, size = entries(tensors)
    start = header({"__metadata__": {"format": "pt"}, **found})
    with path.open("wb") as file:
        file.write(start)
        file.truncate(len(start) + size)
    return path


def write_model(folder, *, config=LLAMA, tensors=TENSORS, shards=1, files=()):
    """Writes a model's folder, with an index where there are shards, and other files, empty objects all."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if shards == 1:
        write_file(folder / "model.safetensors", tensors)
    else:
        weight_map = {}
        for shard in range(shards):
            name = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
            part = dict(list(tensors.items())[shard::shards])
            weight_map |= dict.fromkeys(part, name)
            write_file(folder / name, part)
        index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    for name in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    return folder
