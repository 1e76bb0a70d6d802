"""Over how many GPUs models can be cut, and how a refusal does the sum."""

from dataclasses import replace

import pytest
from vllm_models import (
    BGE_M3,
    DEEPSEEK_V3,
    GPT_OSS_20B,
    LLAMA3_70B,
    QWEN3_30B_A3B_FP8,
    QWEN3_32B,
    QWEN3_32B_FP8,
    QWEN25_72B_AWQ,
    QWEN25_VL_7B,
)

from moorage_common.core.placement import PlacementReason
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.request import VllmOptions
from moorage_scheduler.core.sizes import VllmSizes
from moorage_scheduler.estimators.vllm import vllm_needs
from moorage_scheduler.estimators.vllm_cuts import tensor_sizes
from moorage_scheduler.estimators.vllm_shapes import candidate_shapes, refuse_count, refuse_sizes, shapes_on


def cuts(facts, **options):
    return vllm_needs(facts, VllmOptions(**options)).cuts


def asked(tensor=0, pipeline=0, data=1):
    return VllmOptions(tensor_parallel_size=tensor, pipeline_parallel_size=pipeline, data_parallel_size=data)


def shape(tensor=1, pipeline=1, data=1):
    return ParallelShape(tensor=tensor, pipeline=pipeline, data=data)


class TestTensorSizes:
    @pytest.mark.parametrize(
        ("facts", "sizes"),
        [
            (QWEN3_32B, (1, 2, 4, 8, 16, 32, 64)),
            (LLAMA3_70B, (1, 2, 4, 8, 16, 32, 64)),
            (QWEN25_VL_7B, (1, 2, 4)),
            (DEEPSEEK_V3, (1, 2, 4, 8, 16)),
            (GPT_OSS_20B, (1, 2, 4, 8, 16, 32, 64)),
        ],
    )
    def test_of_real_models(self, facts, sizes):
        assert tensor_sizes(cuts(facts), 64) == sizes

    def test_a_limit_is_kept(self):
        assert tensor_sizes(cuts(QWEN3_32B), 7) == (1, 2, 4)

    def test_vision_heads_count_unless_there_is_only_text(self):
        # 28 heads and 4 key/value heads: 7 GPUs would divide the one and not the other; 28 share heads.
        facts = replace(QWEN25_VL_7B, vision_head_count=18)
        assert tensor_sizes(cuts(facts), 8) == (1, 2)
        assert tensor_sizes(cuts(facts, text_only=True), 8) == (1, 2, 4)

    def test_key_value_heads_divide_or_are_divided(self):
        facts = replace(QWEN3_32B, head_count=24, head_count_kv=6, feed_forward_length=0, vocabulary_size=0)
        assert tensor_sizes(cuts(facts), 24) == (1, 2, 3, 6, 12, 24)
        assert cuts(facts).misfit(4) == "neither of 6 key/value heads and 4 GPUs divides the other"

    def test_the_vocabulary_is_padded_to_64_rows_and_must_divide(self):
        facts = replace(QWEN3_32B, head_count=24, head_count_kv=24, feed_forward_length=0, vocabulary_size=1)
        assert tensor_sizes(cuts(facts), 24) == (1, 2, 4, 8)
        assert cuts(facts).misfit(3) == "64 rows of the padded vocabulary / 3 leaves 1"
        assert tensor_sizes(cuts(replace(facts, vocabulary_size=129)), 24) == (1, 2, 3, 4, 6, 8, 12, 24)

    def test_a_part_is_whole_groups_of_a_quantisation(self):
        # The published AWQ files are padded to 29,696; with the model's own 29,568 two GPUs would cut a group.
        assert tensor_sizes(cuts(QWEN25_72B_AWQ), 8) == (1, 2, 4, 8)
        unpadded = replace(QWEN25_72B_AWQ, feed_forward_length=29_568)
        assert tensor_sizes(cuts(unpadded), 8) == (1,)
        assert (
            cuts(unpadded).misfit(2) == "29568 feed-forward values / 2 = 14784, which is no multiple of 128"
        )

    def test_experts_of_768_values_in_squares_of_128_go_on_two_gpus_and_not_on_four(self):
        # vLLM: "The output_size of gate's and up's weight = 192 is not divisible by weight quantization block_n = 128".
        assert (
            cuts(QWEN3_30B_A3B_FP8).misfit(4)
            == "768 values of an expert / 4 = 192, which is no multiple of 128"
        )
        assert tensor_sizes(cuts(QWEN3_30B_A3B_FP8), 8) == (1, 2)

    def test_squares_must_not_cut_a_rank_s_keys(self):
        facts = replace(QWEN3_32B_FP8, head_size=64, head_count=64, head_count_kv=8)
        assert tensor_sizes(cuts(facts), 8) == (1, 2, 4)
        assert cuts(facts).misfit(8) == "8 key/value heads over 8 GPUs are no multiple of 2 on each"

    def test_sizes_that_were_given_say_no_more_than_they_say(self):
        assert tensor_sizes(cuts(VllmSizes(weight_bytes=1)), 5) == (1, 2, 3, 4, 5)
        assert tensor_sizes(cuts(VllmSizes(attention_head_count=40, kv_head_count=8)), 40) == (1, 2, 4, 8, 40)
        assert tensor_sizes(cuts(VllmSizes(attention_head_count=40, vision_head_count=16)), 40) == (
            1,
            2,
            4,
            8,
        )


class TestShapes:
    def test_fewest_gpus_first_then_fewest_stages(self):
        assert list(candidate_shapes(cuts(QWEN3_32B), VllmOptions(), 4)) == [
            shape(),
            shape(tensor=2),
            shape(pipeline=2),
            shape(pipeline=3),
            shape(tensor=4),
            shape(tensor=2, pipeline=2),
            shape(pipeline=4),
        ]

    def test_stages_only_where_they_are_allowed(self):
        assert list(candidate_shapes(cuts(QWEN3_32B), VllmOptions(), 8, pipelines=False)) == [
            shape(),
            shape(tensor=2),
            shape(tensor=4),
            shape(tensor=8),
        ]
        assert shapes_on(cuts(QWEN3_32B), asked(pipeline=2), 4, pipelines=False) == (
            shape(tensor=2, pipeline=2),
        )

    def test_three_gpus_of_two_workers_are_three_stages(self):
        assert shapes_on(cuts(QWEN3_32B), VllmOptions(), 3) == (shape(pipeline=3),)

    def test_each_copy_takes_as_many_gpus(self):
        assert shapes_on(cuts(QWEN3_32B), asked(data=2), 4) == (
            shape(tensor=2, data=2),
            shape(pipeline=2, data=2),
        )
        assert shapes_on(cuts(QWEN3_32B), asked(data=2), 3) == ()
        assert shapes_on(cuts(QWEN3_32B), asked(data=2), 1) == ()

    def test_sizes_that_were_asked_for_are_kept_to(self):
        assert list(candidate_shapes(cuts(QWEN3_32B), asked(tensor=2), 6)) == [
            shape(tensor=2),
            shape(tensor=2, pipeline=2),
            shape(tensor=2, pipeline=3),
        ]
        assert list(candidate_shapes(cuts(QWEN3_32B), asked(tensor=2, pipeline=2), 6)) == [
            shape(tensor=2, pipeline=2)
        ]

    def test_there_are_no_more_stages_than_blocks(self):
        facts = replace(QWEN3_32B, block_count=2)
        assert shapes_on(cuts(facts), VllmOptions(), 6) == ()
        assert shapes_on(cuts(BGE_M3), VllmOptions(), 3) == ()
        assert shapes_on(cuts(VllmSizes(weight_bytes=1, attention_head_count=8)), VllmOptions(), 3) == (
            shape(pipeline=3),
        )

    def test_a_shape_reads_as_arithmetic(self):
        assert str(shape(tensor=2, pipeline=3, data=2)) == "2 tensor x 3 pipeline x 2 data = 12 GPUs"


class TestRefusals:
    def test_what_can_be_done_is_not_refused(self):
        assert refuse_sizes(cuts(QWEN3_32B), asked()) is None
        assert refuse_sizes(cuts(QWEN3_32B), asked(tensor=8, pipeline=64)) is None
        assert refuse_count(cuts(QWEN3_32B), asked(tensor=2), 6) is None

    def test_a_tensor_size_that_divides_nothing(self):
        refusal = refuse_sizes(cuts(QWEN3_32B), asked(tensor=3))
        assert refusal.reason is PlacementReason.PARALLEL_SIZE_IMPOSSIBLE
        assert refusal.needed == "a tensor parallel size that divides the model"
        assert refusal.available == "3: 64 attention heads / 3 leaves 1"
        assert refusal.remedy == "layers can be cut over 1, 2, 4, 8, 16, 32, 64 GPUs"

    def test_more_stages_than_blocks(self):
        refusal = refuse_sizes(cuts(QWEN3_32B), asked(pipeline=65))
        assert (refusal.needed, refusal.available) == ("at most 64 pipeline stages", "65")
        assert refusal.remedy == "ask for a pipeline parallel size of at most 64"

    @pytest.mark.parametrize(
        ("options", "gpus", "needed", "available"),
        [
            (asked(2, 2), 6, "2 x 2 x 1 GPUs", "6 GPUs: 2 x 2 x 1 = 4"),
            (asked(tensor=4), 6, "4 x pipeline x 1 GPUs", "6 GPUs: 6 / 4 leaves 2"),
            (asked(tensor=4), 2, "4 x pipeline x 1 GPUs", "2 GPUs: 4 are needed at least"),
            (asked(data=2), 3, "tensor x pipeline x 2 GPUs", "3 GPUs: 3 / 2 leaves 1"),
            (asked(pipeline=2), 6, "tensor x 2 x 1 GPUs", "6 GPUs: 64 attention heads / 3 leaves 1"),
            (asked(tensor=1), 65, "1 x pipeline x 1 GPUs", "65 GPUs: 65 stages of 64 blocks"),
        ],
    )
    def test_a_number_of_gpus_that_no_shape_takes(self, options, gpus, needed, available):
        refusal = refuse_count(cuts(QWEN3_32B), options, gpus)
        assert refusal.reason is PlacementReason.PARALLEL_SIZE_IMPOSSIBLE
        assert refusal.needed == f"{needed} (tensor x pipeline x data)"
        assert refusal.available == available

    def test_a_model_without_stages_says_what_does_not_divide(self):
        refusal = refuse_count(cuts(BGE_M3), asked(), 3)
        assert refusal.available == "3 GPUs: 16 attention heads / 3 leaves 1"

    def test_impossible_sizes_come_before_the_count(self):
        assert refuse_count(cuts(QWEN3_32B), asked(tensor=3), 3).available.startswith("3: 64 attention heads")
