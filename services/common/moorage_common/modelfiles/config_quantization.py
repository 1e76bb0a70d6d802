"""How a model's weights are quantised, from its config.json or modelopt's hf_quant_config.json."""

from dataclasses import dataclass

from moorage_common.modelfiles.config_keys import ConfigKeys

MODELOPT_NAME = "hf_quant_config.json"

_METHODS = {"auto-round": "inc", "auto_round": "inc", "compressed_tensors": "compressed-tensors"}
"""What vLLM calls methods that files call otherwise."""
_METHOD_BITS = {
    "awq": 4,
    "bitnet": 2,
    "bitsandbytes": 4,
    "fp8": 8,
    "gptq": 4,
    "inc": 4,
    "modelopt_fp4": 4,
    "modelopt_mixed": 4,
    "mxfp4": 4,
}
"""Bits of a weight where a method's section does not say; any other method has 8."""
_FORMAT_BITS = {"marlin-24": 4, "mxfp4-pack-quantized": 4, "nvfp4-pack-quantized": 4, "pack-quantized": 4}
"""The same for the formats of compressed-tensors."""
_MODELOPT = {
    "MIXED_PRECISION": "modelopt_mixed",
    "MXFP8": "modelopt_mxfp8",
    "NVFP4": "modelopt_fp4",
    "W4A16_NVFP4": "modelopt_fp4",
}
"""What vLLM calls modelopt's algorithms; any other is plain modelopt."""
_GROUPS = {"modelopt_fp4": 16, "mxfp4": 32, "mxfp4-pack-quantized": 32, "nvfp4-pack-quantized": 16}
"""Sizes of groups that methods and formats have of themselves."""
_SQUARES = ("weight_block_size", "block_structure")
_MODELOPT_BITS = {"INT4_AWQ": 4, "W4A16_AWQ": 4, "W4A8_AWQ": 4}


@dataclass(frozen=True, slots=True)
class Quantization:
    """How weights are quantised."""

    method: str = ""
    """As vLLM calls it. Empty: they are not."""
    bits: int = 0
    group_size: int = 0
    """Values along a row that share a scale, or along a side of a square that does. 0: whole rows do."""


def read_quantization(config: ConfigKeys, modelopt: ConfigKeys | None) -> Quantization:
    """Returns how a model is quantised.

    Args:
        config: Its whole config.json.
        modelopt: Its hf_quant_config.json; None: it has none.
    """
    for keys in (config, config.language()):
        for name in ("quantization_config", "compression_config"):
            if section := keys.section(name):
                return _read_section(section)
    if modelopt is not None and (section := modelopt.section("quantization")):
        return _read_modelopt(section)
    return Quantization()


def _read_section(section: ConfigKeys) -> Quantization:
    told = section.text("quant_method").lower()
    method = _METHODS.get(told, told)
    if method == "modelopt" or section.section("producer"):
        return _read_modelopt(section.section("quantization") or section)
    loaded = 4 if section.flag("load_in_4bit") else 8 if section.flag("load_in_8bit") else 0
    if not method:
        # Written before methods had names.
        method = "bitsandbytes" if loaded else ""
    if not method:
        return Quantization()
    form = section.text("format")
    default = loaded or _FORMAT_BITS.get(form) or _METHOD_BITS.get(method, 8)
    size = _group_size(section) or _GROUPS.get(form) or _GROUPS.get(method, 0)
    return Quantization(method, _bits(section, default=default), size)


def _read_modelopt(section: ConfigKeys) -> Quantization:
    algorithm = section.text("quant_algo").upper()
    method = _MODELOPT.get(algorithm, "modelopt")
    bits = _MODELOPT_BITS.get(algorithm) or _METHOD_BITS.get(method, 8)
    return Quantization(method, bits, _group_size(section) or _GROUPS.get(method, 0))


def _bits(section: ConfigKeys, *, default: int) -> int:
    found = [weights.number("num_bits", default=default) for weights in _groups(section)]
    bits = min(found) if found else section.number("bits", "w_bit", "wbits", "nbits", default=default)
    return min(max(bits, 1), 16)


def _group_size(section: ConfigKeys) -> int:
    """The largest size that is told; whole rows are told as -1, or not at all."""
    sizes = [keys.size("group_size") for keys in (section, *_groups(section))]
    squares = [keys.numbers(name) for name in _SQUARES for keys in (section, *_groups(section))]
    return max(*sizes, *(max(square, default=0) for square in squares))


def _groups(section: ConfigKeys) -> list[ConfigKeys]:
    """What compressed-tensors and modelopt say of weights, group by group."""
    groups = section.section("config_groups")
    return [
        weights
        for group in (groups.all_sections() if groups else ())
        if (weights := group.section("weights"))
    ]
