"""The memory of models in vLLM, worked out by hand, and against what vLLM itself has logged."""

from dataclasses import replace
from math import ceil

import pytest
from vllm_models import (
    BGE_M3,
    DEEPSEEK_V3,
    GEMMA3_27B,
    GPT_OSS_20B,
    LLAMA3_8B,
    LLAMA3_70B,
    QWEN3_32B,
    QWEN3_32B_FP8,
    QWEN3_EMBEDDING,
    QWEN3_NEXT_80B,
    QWEN25_72B_AWQ,
    QWEN25_VL_7B,
)

from moorage_common.core.placement import MemoryPart, ModelCategory, VllmDtype
from moorage_common.core.states import AcceleratorKind
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.request import VllmOptions
from moorage_scheduler.estimators.vllm import Card, vllm_needs
from moorage_scheduler.estimators.vllm_graphs import captured_sizes
from moorage_scheduler.estimators.vllm_stages import stages

MIB, GIB = 2**20, 2**30
ONE = ParallelShape()
H100 = Card(total_bytes=int(79.18 * GIB), kind=AcceleratorKind.CUDA)


def on_gpu(facts, shape=ONE, stage=0, kind=AcceleratorKind.CUDA, **options):
    needs = vllm_needs(facts, VllmOptions(**options))
    return needs.on_gpu(shape, needs.stages(shape)[stage], kind)


def with_head_room(size):
    return ceil(size * 101 / 100)


class TestStages:
    @pytest.mark.parametrize(
        ("blocks", "count", "sizes"),
        [
            (64, 1, [64]),
            (64, 2, [32, 32]),
            (64, 3, [21, 22, 21]),
            (61, 2, [31, 30]),
            (61, 4, [15, 15, 16, 15]),
            (5, 3, [2, 2, 1]),
        ],
    )
    def test_what_does_not_divide_goes_before_the_last(self, blocks, count, sizes):
        assert [stage.blocks for stage in stages(blocks, count)] == sizes

    def test_ends(self):
        first, _, last = stages(64, 3)
        assert (first.first, first.last, last.first, last.last) == (True, False, False, True)
        assert (first.start, first.stop, last.start, last.stop) == (0, 21, 43, 64)


class TestWeights:
    def test_on_one_gpu_it_is_all_of_them_with_one_percent_of_head_room(self):
        assert on_gpu(QWEN3_32B).weights == with_head_room(65_524_246_528)

    def test_tensor_ranks_share_everything_out(self):
        assert on_gpu(LLAMA3_70B, ParallelShape(tensor=4)).weights == with_head_room(141_107_412_992 // 4)

    def test_heads_that_are_fewer_than_ranks_are_held_more_than_once(self):
        keys = 2 * 8 * 128 * 8192 * 80 * 2
        cut = 141_107_412_992 // 16
        assert on_gpu(LLAMA3_70B, ParallelShape(tensor=16)).weights == with_head_room(
            cut + keys // 8 - keys // 16
        )

    def test_the_first_stage_embeds_and_the_last_has_the_head(self):
        end = 151_936 * 5120 * 2
        block = (65_524_246_528 - 2 * end) // 64
        shape = ParallelShape(pipeline=3)
        assert on_gpu(QWEN3_32B, shape, 0).weights == pytest.approx((21 * block + end) * 1.01, rel=1e-6)
        assert on_gpu(QWEN3_32B, shape, 1).weights == pytest.approx(22 * block * 1.01, rel=1e-6)
        assert on_gpu(QWEN3_32B, shape, 2).weights == pytest.approx((21 * block + end) * 1.01, rel=1e-6)

    def test_one_matrix_that_is_embedding_and_head_is_on_both_ends(self):
        matrix = 151_669 * 1024 * 2
        halves = [on_gpu(QWEN3_EMBEDDING, ParallelShape(pipeline=2), stage).weights for stage in (0, 1)]
        assert sum(halves) == pytest.approx((1_191_553_024 + matrix) * 1.01, rel=1e-6)
        assert on_gpu(QWEN3_EMBEDDING).weights == with_head_room(1_191_553_024)

    def test_32_bit_files_are_halved_unless_32_bits_were_asked_for(self):
        assert on_gpu(BGE_M3).weights == with_head_room(2_271_019_008 // 2)
        assert on_gpu(BGE_M3, dtype=VllmDtype.BF16).weights == with_head_room(2_271_019_008 // 2)
        assert on_gpu(BGE_M3, dtype=VllmDtype.F32).weights == with_head_room(2_271_019_008)
        assert on_gpu(QWEN3_32B, dtype=VllmDtype.F32).weights == with_head_room(2 * 65_524_246_528)

    def test_quantised_weights_stay_as_they_are_stored(self):
        assert on_gpu(QWEN3_32B_FP8).weights == with_head_room(31_205_621_760 + 3_113_001_984 + 3_809_280)
        assert on_gpu(QWEN25_72B_AWQ, ParallelShape(tensor=2)).weights == with_head_room(41_621_114_880 // 2)

    def test_towers_are_cut_and_on_every_stage_or_left_out(self):
        whole, tower = 16_584_333_312, 1_353_100_288
        assert on_gpu(QWEN25_VL_7B).weights == with_head_room(whole)
        assert on_gpu(QWEN25_VL_7B, text_only=True).weights == with_head_room(whole - tower)
        shape = ParallelShape(tensor=2, pipeline=2)
        seen, blind = (
            sum(on_gpu(QWEN25_VL_7B, shape, stage, text_only=text_only).weights for stage in (0, 1))
            for text_only in (False, True)
        )
        assert seen - blind == pytest.approx(2 * tower / 2 * 1.01, rel=1e-6)

    def test_latent_attention_keeps_second_copies_and_routers_are_whole_on_every_rank(self):
        whole = 256 * 7168 * 61 * 2 + 576 * 7168 * 61
        absorbed = 2 * 128 * 128 * 576 * 61 * 2
        rank = (688_586_727_753 - whole + absorbed) / 8 + whole
        assert on_gpu(DEEPSEEK_V3, ParallelShape(tensor=8)).weights == pytest.approx(rank * 1.01, rel=1e-6)

    def test_a_stage_may_have_all_the_blocks_with_experts(self):
        ends = [on_gpu(DEEPSEEK_V3, ParallelShape(tensor=8, pipeline=2), stage).weights for stage in (0, 1)]
        experts = 59 * 256 * 3 * 7168 * 2048
        assert sum(ends) - on_gpu(DEEPSEEK_V3, ParallelShape(tensor=8)).weights == pytest.approx(
            experts * (61 / 58 - 1) / 8 * 1.01, rel=1e-3
        )


class TestKeysAndValues:
    def test_pages_of_16_tokens_for_the_longest_request_and_one_more(self):
        token = 2 * 8 * 128 * 2 * 64
        assert on_gpu(QWEN3_32B).kv_cache == (40_960 + 16) * token
        assert on_gpu(QWEN3_32B, max_model_len=1000).kv_cache == (1008 + 16) * token

    def test_a_longest_request_is_what_was_asked_for_or_what_the_model_was_made_for(self):
        assert vllm_needs(QWEN3_32B, VllmOptions()).context_length == 40_960
        assert vllm_needs(QWEN3_32B, VllmOptions(max_model_len=131_072)).context_length == 131_072
        assert vllm_needs(replace(QWEN3_32B, context_length=0), VllmOptions()).context_length == 2048

    def test_ranks_share_heads_but_never_less_than_one(self):
        sizes = [on_gpu(QWEN3_32B, ParallelShape(tensor=n)).kv_cache for n in (1, 2, 8, 16, 32)]
        assert sizes == [sizes[0], sizes[0] // 2, sizes[0] // 8, sizes[0] // 8, sizes[0] // 8]

    def test_a_stage_keeps_its_blocks(self):
        token = 2 * 8 * 128 * 2
        assert on_gpu(QWEN3_32B, ParallelShape(pipeline=3), 1).kv_cache == (40_960 + 16) * token * 22

    def test_a_latent_vector_is_whole_on_every_rank(self):
        one = on_gpu(DEEPSEEK_V3, max_model_len=16_384).kv_cache
        assert one == (16_384 + 16) * 576 * 2 * 61
        assert on_gpu(DEEPSEEK_V3, ParallelShape(tensor=16), max_model_len=16_384).kv_cache == one

    def test_fewer_bits_are_fewer_bytes(self):
        half, whole = on_gpu(QWEN3_32B, kv_cache_dtype=VllmDtype.FP8), on_gpu(QWEN3_32B)
        assert half.kv_cache * 2 == whole.kv_cache
        assert on_gpu(QWEN3_32B, kv_cache_dtype=VllmDtype.F32).kv_cache == 2 * whole.kv_cache

    def test_windows_keep_themselves_and_the_batches_under_way(self):
        # 10 blocks that see everything and 52 that see 1,024 tokens: groups of 10, so 1 and 6 of them.
        pages = 131_072 // 16 + 6 * (ceil((1023 + 2 * 2048) / 16) + 1) + 1
        assert on_gpu(GEMMA3_27B).kv_cache == pages * 10 * 16 * 2 * 16 * 128 * 2

    def test_windows_of_a_model_that_has_nothing_else(self):
        facts = replace(QWEN3_32B, sliding_window=4096, sliding_window_block_count=64)
        assert on_gpu(facts).kv_cache == (512 + 1 + 1) * 16 * 2 * 8 * 128 * 2 * 64
        assert on_gpu(facts, max_model_len=2048).kv_cache == (128 + 1 + 1) * 16 * 2 * 8 * 128 * 2 * 64

    def test_recurrent_blocks_keep_a_state_for_each_request(self):
        # A state of 2,146,304 bytes; a token of 2 heads of 256 takes 2,048: pages of 1,056 tokens.
        page = 1056 * 2048
        assert on_gpu(QWEN3_NEXT_80B, enforce_eager=True).kv_cache == (249 + 3 * 2 + 1) * 12 * page
        assert on_gpu(QWEN3_NEXT_80B, max_num_seqs=1024).kv_cache == 1024 * 12 * page

    def test_without_a_word_on_states_they_are_taken_to_be_large(self):
        facts = replace(QWEN3_NEXT_80B, recurrent_state_bytes=0)
        page = 16 * ceil(320 * 2048 * 4 / (16 * 2048)) * 2048
        assert on_gpu(facts, max_num_seqs=1024).kv_cache == 1024 * 12 * page

    def test_ascend_has_longer_pages(self):
        token = 2 * 8 * 128 * 2 * 64
        assert (
            on_gpu(QWEN3_32B, kind=AcceleratorKind.CANN, max_model_len=1000).kv_cache == (1024 + 128) * token
        )

    def test_an_encoder_keeps_nothing(self):
        assert on_gpu(BGE_M3).kv_cache == 0


class TestAgainstTheCode:
    """What vLLM 0.32.0's own functions answered, given these models' layers on a machine without a GPU."""

    @pytest.mark.parametrize(
        ("facts", "options", "size"),
        [
            (QWEN3_32B, {}, 10_741_612_544),
            (DEEPSEEK_V3, {"max_model_len": 16_384}, 1_152_460_800),
            (GEMMA3_27B, {}, 13_263_175_680),
            (GPT_OSS_20B, {}, 3_325_820_928),
            # One block more that sees everything: groups of 13, one of them with a block that is not there.
            (replace(GPT_OSS_20B, block_count=25, attention_block_count=25), {}, 3_602_972_672),
            (QWEN3_NEXT_80B, {"enforce_eager": True}, 6_643_777_536),
        ],
    )
    def test_the_least_cache_is_the_same_to_the_byte(self, facts, options, size):
        # `_max_memory_usage_bytes_from_groups` and one block of `_pool_bytes_per_block`.
        assert on_gpu(facts, **options).kv_cache == size

    @pytest.mark.parametrize(
        ("seqs", "tokens", "sizes", "largest"),
        [
            (256, 2048, 51, 512),
            (192, 8192, 43, 384),
            (1024, 8192, 51, 512),
            (100, 2048, 29, 200),
            (256, 300, 38, 300),
            (256, 64, 11, 64),
            (7, 5, 4, 5),
            (4, 2048, 4, 8),
            (1, 2048, 2, 2),
        ],
    )
    def test_the_same_batches_are_captured(self, seqs, tokens, sizes, largest):
        # `_set_cudagraph_sizes`.
        captured = captured_sizes(seqs, tokens)
        assert (len(captured), captured[-1]) == (sizes, largest)


class TestGraphs:
    def test_batches_that_only_generate_have_graphs_of_their_own(self):
        # As vLLM logs for its defaults: "PIECEWISE=51 (largest=512), FULL=35 (largest=256)".
        assert sum(size <= 256 for size in captured_sizes(256, 2048)) == 35

    def test_they_take_their_part_of_a_gpu_unless_there_are_none(self):
        eager, graphs = on_gpu(QWEN3_32B, enforce_eager=True), on_gpu(QWEN3_32B)
        assert graphs.compute - eager.compute == 86 * 64 * 300 * 1024
        shape = ParallelShape(pipeline=3)
        eager, graphs = (on_gpu(QWEN3_32B, shape, 1, enforce_eager=eager) for eager in (True, False))
        assert graphs.compute - eager.compute == 86 * 22 * 300 * 1024


class TestAgainstTheLog:
    """Published logs of vLLM 0.11 on H100: 8,192 tokens at once, 1,024 requests, 16,000 tokens the longest."""

    @pytest.mark.parametrize(
        ("facts", "tensor", "weights", "activations", "overhead"),
        [
            (QWEN3_32B, 1, 61.03, 5.64, 0.14),
            (QWEN3_32B, 2, 30.59, 5.64, 0.54),
            (LLAMA3_8B, 1, 14.99, 4.76, 0.13),
            (GPT_OSS_20B, 1, 13.47, 7.38, 0.13),
        ],
    )
    def test_parts_are_what_was_logged(self, facts, tensor, weights, activations, overhead):
        parts = on_gpu(
            facts,
            ParallelShape(tensor=tensor),
            max_num_batched_tokens=8192,
            max_num_seqs=1024,
            max_model_len=16_000,
            enforce_eager=True,
        )
        assert weights <= parts.weights / GIB <= weights * 1.03
        assert parts.compute / GIB == pytest.approx(activations, rel=0.01)
        assert parts.overhead / GIB == pytest.approx(overhead, abs=0.02)

    def test_a_70b_model_in_8_bits_is_refused_on_one_card_as_it_was_and_fits_two(self):
        size = 72_700_000_000
        facts = replace(
            LLAMA3_70B,
            total_tensor_bytes=size,
            tensor_bytes_by_dtype={"F8_E4M3": size - 4 * 10**9, "BF16": 4 * 10**9},
            quantization="compressed-tensors",
            quantization_bits=8,
        )
        needs = vllm_needs(
            facts, VllmOptions(max_num_batched_tokens=8192, max_num_seqs=1024, max_model_len=16_000)
        )
        assert needs.shortage(ONE, needs.stages(ONE)[0], H100) > 0
        two = ParallelShape(tensor=2)
        assert needs.shortage(two, needs.stages(two)[0], H100) <= 0
        # It had 32.0 GiB for its cache, and gave no graphs a part of that.
        parts = needs.claim(two, needs.stages(two)[0], H100)
        room = parts[MemoryPart.KV_CACHE] + parts[MemoryPart.CACHE_ROOM]
        assert 28 * GIB < room < 32.0 * GIB


class TestActivations:
    def test_feed_forward_layers_count_where_little_is_sampled(self):
        parts = on_gpu(QWEN3_32B, max_num_seqs=1, max_num_batched_tokens=8192, enforce_eager=True)
        assert parts.compute == 8192 * (3 * 5120 + 3 * 25_600) * 2

    def test_ranks_share_a_feed_forward_layer_but_not_hidden_states(self):
        parts = on_gpu(
            QWEN3_32B,
            ParallelShape(tensor=4),
            max_num_seqs=1,
            max_num_batched_tokens=8192,
            enforce_eager=True,
        )
        assert parts.compute == 8192 * (3 * 5120 + 3 * 25_600 // 4) * 2

    def test_only_the_last_stage_samples(self):
        first, last = (
            on_gpu(QWEN3_32B, ParallelShape(pipeline=2), n, enforce_eager=True).compute for n in (0, 1)
        )
        assert first == 2048 * (3 * 5120 + 3 * 25_600) * 2
        assert last == 2048 * 5120 * 2 + 256 * 151_936 * 77 // 2

    def test_no_more_requests_are_sampled_than_tokens_are_computed(self):
        parts = on_gpu(QWEN3_32B, max_num_batched_tokens=64, enforce_eager=True)
        assert parts.compute == 64 * 5120 * 2 + 64 * 151_936 * 77 // 2

    def test_experts_write_a_result_for_each_that_is_used(self):
        parts = on_gpu(
            DEEPSEEK_V3, ParallelShape(tensor=8), max_num_seqs=1, max_model_len=16, enforce_eager=True
        )
        unpacked = 128
        forward = 2048 * (3 * 7168 + 8 * (7168 + 7168) + 7168) * 2 + unpacked * 2 * 16 * 128 * 2
        assert parts.compute == forward + unpacked * 576 * 2

    def test_towers_need_room_for_the_largest_image(self):
        parts = on_gpu(QWEN25_VL_7B, enforce_eager=True)
        assert parts.compute == 2 * GIB + 16_384 * 3584 * 2
        assert (
            on_gpu(QWEN25_VL_7B, enforce_eager=True, text_only=True).compute
            == 2048 * 3584 * 2 + 256 * 152_064 * 77 // 2
        )

    def test_an_encoder_computes_a_whole_text_at_once(self):
        parts = on_gpu(BGE_M3, enforce_eager=True)
        assert parts.compute == 8192 * (3 * 1024 + 3 * 4096) * 2


class TestClaims:
    def test_a_model_that_makes_text_takes_its_part_of_the_card(self):
        needs = vllm_needs(QWEN3_32B, VllmOptions())
        stage = needs.stages(ONE)[0]
        assert needs.claim_bytes(ONE, stage, H100) == ceil(int(79.18 * GIB) * 0.9)
        half = vllm_needs(QWEN3_32B, VllmOptions(gpu_memory_utilization=0.5))
        assert half.claim_bytes(ONE, stage, H100) == ceil(int(79.18 * GIB) * 0.5)

    def test_parts_of_a_claim_add_up_to_it(self):
        needs = vllm_needs(QWEN3_32B_FP8, VllmOptions())
        stage = needs.stages(ONE)[0]
        parts = needs.claim(ONE, stage, H100)
        assert sum(parts.values()) == needs.claim_bytes(ONE, stage, H100)
        assert parts[MemoryPart.CACHE_ROOM] == -needs.shortage(ONE, stage, H100)

    def test_it_fits_to_the_byte(self):
        needs = vllm_needs(QWEN3_32B, VllmOptions(gpu_memory_utilization=1.0))
        stage = needs.stages(ONE)[0]
        exact = needs.on_gpu(ONE, stage, AcceleratorKind.CUDA).total
        card = Card(total_bytes=exact, kind=AcceleratorKind.CUDA)
        assert needs.shortage(ONE, stage, card) == 0
        assert MemoryPart.CACHE_ROOM not in needs.claim(ONE, stage, card)
        assert needs.shortage(ONE, stage, replace(card, total_bytes=exact - 1)) == 1

    @pytest.mark.parametrize("facts", [BGE_M3, QWEN3_EMBEDDING])
    def test_a_model_that_makes_no_text_takes_what_it_needs(self, facts):
        needs = vllm_needs(facts, VllmOptions(max_model_len=4096))
        stage = needs.stages(ONE)[0]
        parts = needs.claim(ONE, stage, H100)
        assert MemoryPart.CACHE_ROOM not in parts
        assert sum(parts.values()) == needs.claim_bytes(ONE, stage, H100) < 0.1 * H100.total_bytes

    def test_unless_its_part_was_given(self):
        needs = vllm_needs(BGE_M3, VllmOptions(gpu_memory_utilization=0.3))
        assert needs.claim_bytes(ONE, needs.stages(ONE)[0], H100) == ceil(H100.total_bytes * 0.3)

    def test_what_a_model_is_for_may_be_said_otherwise(self):
        needs = vllm_needs(QWEN3_32B, VllmOptions(), ModelCategory.RERANKER)
        assert needs.utilization is None
        assert vllm_needs(BGE_M3, VllmOptions(), ModelCategory.LLM).utilization == 0.9

    def test_the_stage_that_needs_most_counts(self):
        needs = vllm_needs(QWEN3_32B, VllmOptions())
        shape = ParallelShape(pipeline=4)
        most = needs.most_on_gpu(shape, AcceleratorKind.CUDA)
        assert most == needs.on_gpu(shape, needs.stages(shape)[-1], AcceleratorKind.CUDA)


class TestLongestContext:
    def test_it_is_the_longest_that_fits(self):
        needs = vllm_needs(QWEN3_32B, VllmOptions(max_model_len=131_072))
        length = needs.longest_context(ONE, {0: H100})
        assert 0 < length < 131_072
        stage = needs.stages(ONE)[0]
        assert needs.with_context(length).shortage(ONE, stage, H100) <= 0
        assert needs.with_context(length + 1).shortage(ONE, stage, H100) > 0

    def test_no_more_than_was_asked_for_and_none_if_weights_are_too_many(self):
        assert vllm_needs(LLAMA3_8B, VllmOptions(max_model_len=512)).longest_context(ONE, {0: H100}) == 512
        assert vllm_needs(LLAMA3_70B, VllmOptions()).longest_context(ONE, {0: H100}) == 0


class TestRam:
    def test_processes_buffers_and_a_cache_that_was_asked_for(self):
        needs = vllm_needs(QWEN3_32B, VllmOptions(host_kv_cache_bytes=3 * GIB))
        parts = needs.on_host(ParallelShape(tensor=2, pipeline=2), ranks=2, leads=True)
        assert parts.kv_cache == 3 * GIB
        assert parts.overhead == 3 * 2 * GIB
        assert parts.compute == 2 * 5 * 256 * 40_960
        assert (
            needs.on_host(ParallelShape(tensor=2, pipeline=2), ranks=2, leads=False).overhead == 2 * 2 * GIB
        )

    def test_images_are_kept_where_requests_come_in(self):
        needs = vllm_needs(QWEN25_VL_7B, VllmOptions())
        led, other = (needs.on_host(ParallelShape(data=2), ranks=1, leads=leads) for leads in (True, False))
        assert led.compute - other.compute == 3 * 4 * GIB
        blind = vllm_needs(QWEN25_VL_7B, VllmOptions(text_only=True))
        assert blind.on_host(ONE, ranks=1, leads=True).compute == 5 * 256 * 128_000
