"""Our tables against those of the gguf package, which llama.cpp's authors keep."""

import gguf

from moorage_common.modelfiles.architectures import ARCHITECTURES
from moorage_common.modelfiles.tensor_types import CPU_REPACKED_TYPES, FILE_TYPES, TENSOR_TYPES


def test_tensor_types():
    theirs = {int(kind): (kind.name, *sizes) for kind, sizes in gguf.GGML_QUANT_SIZES.items()}
    ours = {
        number: (kind.name, kind.block_elements, kind.block_bytes)
        for number, kind in TENSOR_TYPES.items()
        if number in theirs  # the engine's llama.cpp may be newer than the package
    }
    assert ours == theirs
    assert {kind.name for kind in TENSOR_TYPES.values()} > CPU_REPACKED_TYPES


def test_file_types():
    theirs = {int(kind): kind.name for kind in gguf.LlamaFileType if kind.name != "GUESSED"}
    prefixes = ("ALL_", "MOSTLY_")
    for number, name in theirs.items():
        assert f"{FILE_TYPES[number]}" in {name.removeprefix(prefix) for prefix in prefixes}


def test_architectures():
    assert set(gguf.MODEL_ARCH_NAMES.values()) - ARCHITECTURES == {"clip"}
