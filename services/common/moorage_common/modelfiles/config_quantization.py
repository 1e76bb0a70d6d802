"""How a model's weights are quantised, from its config.json or modelopt's hf_quant_config.json."""

from dataclasses import dataclass

from moorage_common.modelfiles.config_keys import ConfigKeys

MODELOPT_NAME = "hf_quant_config.json"

_METHOD_BITS = {
    "awq": 4,
    "bitnet": 2,
    "bitsandbytes": 4,
    "fp8": 8,
    "gptq": 4,
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
_MODELOPT_BITS = {"INT4_AWQ": 4, "W4A16_AWQ": 4, "W4A8_AWQ": 4}


@dataclass(frozen=True, slots=True)
class Quantization:
    """How weights are quantised."""

    method: str = ""
    """As vLLM calls it. Empty: they are not."""
    bits: int = 0


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
    method = section.text("quant_method").lower().replace("compressed_tensors", "compressed-tensors")
    loads = {4: section.flag("load_in_4bit"), 8: section.flag("load_in_8bit")}
    if method == "modelopt" or section.section("producer"):
        return _read_modelopt(section.section("quantization") or section)
    loaded = next((bits for bits, told in loads.items() if told), 0)
    if not method:
        # Written before methods had names.
        method = "bitsandbytes" if loaded else ""
    if not method:
        return Quantization()
    default = loaded or _FORMAT_BITS.get(section.text("format")) or _METHOD_BITS.get(method, 8)
    return Quantization(method, _bits(section, default=default))


def _read_modelopt(section: ConfigKeys) -> Quantization:
    algorithm = section.text("quant_algo").upper()
    method = _MODELOPT.get(algorithm, "modelopt")
    bits = _MODELOPT_BITS.get(algorithm) or _METHOD_BITS.get(method, 8)
    return Quantization(method, bits)


def _bits(section: ConfigKeys, *, default: int) -> int:
    groups = section.section("config_groups")
    found = [
        weights.number("num_bits", default=default)
        for group in (groups.all_sections() if groups else ())
        if (weights := group.section("weights"))
    ]
    bits = min(found) if found else section.number("bits", "w_bit", "wbits", "nbits", default=default)
    return min(max(bits, 1), 16)
