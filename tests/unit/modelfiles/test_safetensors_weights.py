"""What tensors are, going by their names, and how many parameters they hold."""

import pytest

from moorage_common.core.errors import FailedPrecondition
from moorage_common.modelfiles.safetensors_header import Tensor
from moorage_common.modelfiles.safetensors_weights import WeightSums, is_embedding, is_expert, is_tower


@pytest.mark.parametrize(
    "name",
    [
        "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight",
        "model.vision_tower.encoder.layers.0.weight",
        "multi_modal_projector.linear_1.weight",
        "visual.blocks.0.attn.qkv.weight",
        "model.visual.merger.mlp.0.weight",
        "thinker.audio_tower.layers.0.fc1.weight",
        "talker.model.layers.0.mlp.experts.0.up_proj.weight",
        "mlp1.0.weight",
        "model.embed_vision.embedding.weight",
        "transformer.vision.transformer.layers.0.mlp.fc1.weight",
        "image_newline",
    ],
)
def test_towers(name):
    assert is_tower(name)


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.mlp.experts.17.gate_proj.weight",
        "model.layers.3.block_sparse_moe.experts.0.w1.weight",
        "model.layers.0.mlp.experts.gate_up_proj_blocks",
        "transformer.blocks.0.ffn.experts.mlp.w1",
        "model.layers.0.block_sparse_moe.input_linear.weight",
        "model.layers.4.moe.up_proj.weight",
        "backbone.layers.1.mixer.experts.0.up_proj.weight",
    ],
)
def test_experts(name):
    assert is_expert(name)
    assert not is_tower(name)


@pytest.mark.parametrize(
    "name",
    [
        "model.embed_tokens.weight",
        "model.language_model.embed_tokens.weight",
        "lm_head.weight",
        "language_model.lm_head.qweight",
        "transformer.wte.weight",
        "output.weight",
        "model.tok_embeddings.weight",
        "embeddings.word_embeddings.weight",
        "backbone.embeddings.weight",
        "gpt_neox.embed_in.weight",
        "transformer.output_layer.weight",
    ],
)
def test_embeddings(name):
    assert is_embedding(name)
    assert not is_tower(name)


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.mlp.shared_experts.gate_proj.weight",
        "model.layers.0.mlp.gate.weight",
        "model.layers.0.block_sparse_moe.gate.weight",
        "model.layers.4.moe.gate.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "bert.encoder.layer.0.attention.output.dense.weight",
        "embeddings.position_embeddings.weight",
        "model.embed_tokens_per_layer.weight",
        "model.norm.weight",
        "weight",
        "",
        "..",
    ],
)
def test_everything_else(name):
    assert not is_tower(name)
    assert not is_expert(name)
    assert not is_embedding(name)


def sums_of(bits, *tensors):
    sums = WeightSums(bits)
    for name, dtype, shape, elements, size in tensors:
        sums.add("m.safetensors", Tensor(name, dtype, shape, elements, size))
    return sums


def test_every_byte_is_counted_once():
    sums = sums_of(
        0,
        ("model.visual.x.weight", "F32", [2], 2, 8),
        ("model.layers.0.mlp.experts.0.w.weight", "BF16", [10], 10, 20),
        ("lm_head.weight", "BF16", [7, 5], 35, 70),
        ("model.norm.weight", "BF16", [50], 50, 100),
    )
    assert (sums.tower_bytes, sums.expert_bytes, sums.embedding_bytes, sums.total_bytes) == (8, 20, 70, 198)
    assert sums.bytes_by_dtype == {"F32": 8, "BF16": 190}
    assert (sums.parameter_count, sums.embedding_rows) == (97, 7)


@pytest.mark.parametrize(
    ("bits", "tensors", "parameters"),
    [
        (
            4,
            [("a.qweight", "I32", [512, 512]), ("a.qzeros", "I32", [4, 64]), ("a.scales", "F16", [4, 512])],
            2**21,
        ),
        (
            4,
            [("a.weight_packed", "I32", [8, 8]), ("a.weight_shape", "I64", [2]), ("a.g_idx", "I32", [64])],
            512,
        ),
        (8, [("a.weight", "F8_E4M3", [8, 8]), ("a.weight_scale_inv", "F32", [1, 1])], 64),
        (4, [("m.experts.up_proj_blocks", "U8", [2, 4, 8]), ("m.experts.up_proj_scales", "U8", [2, 4])], 128),
        (
            4,
            [
                ("a.weight", "U8", [8, 4]),
                ("a.weight_scale", "F8_E4M3", [8, 1]),
                ("a.weight_scale_2", "F32", []),
            ],
            64,
        ),
        (
            4,
            [
                ("a.weight", "U8", [32, 1]),
                ("a.weight.absmax", "F32", [1]),
                ("a.weight.quant_map", "F32", [16]),
            ],
            64,
        ),
        (4, [("a.weight", "F4", [8, 8]), ("a.input_scale", "F32", [1])], 64),
        (3, [("a.qweight", "I32", [24, 8])], 2048),
        (8, [("a.qweight", "I32", [16, 8])], 512),
        (8, [("a.weight", "I8", [8, 8]), ("a.weight_zero_point", "I8", [8])], 64),
        (4, [("norm.weight", "BF16", [64])], 64),
        (0, [("a.weight", "U8", [64]), ("layer_scale", "F32", [64])], 128),
    ],
)
def test_packed_weights_are_unpacked_and_what_goes_with_them_is_none(bits, tensors, parameters):
    given = []
    for name, dtype, shape in tensors:
        elements = 1
        for length in shape:
            elements *= length
        given.append((name, dtype, shape, elements, elements))
    assert sums_of(bits, *given).parameter_count == parameters


def test_a_name_that_is_there_twice_is_refused():
    tensor = Tensor("a.weight", "F32", [1], 1, 4)
    sums = WeightSums(0)
    sums.add("1.safetensors", tensor)
    with pytest.raises(FailedPrecondition, match=r"tensor 'a\.weight' is there twice"):
        sums.add("1.safetensors", tensor)
    with pytest.raises(FailedPrecondition, match=r"2\.safetensors .* 'a\.weight' is in 1\.safetensors, too"):
        sums.add("2.safetensors", tensor)


def test_no_model_is_believed_to_be_of_a_pebibyte():
    sums = sums_of(0, ("a", "U8", [2**51], 2**51, 2**51))
    with pytest.raises(FailedPrecondition, match="no model is that large"):
        sums.add("m.safetensors", Tensor("b", "U8", [1], 1, 1))
