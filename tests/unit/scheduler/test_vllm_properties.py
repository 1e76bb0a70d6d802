"""What holds of every model, shape and option in vLLM."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from vllm_models import MODELS

from moorage_common.core.placement import VllmDtype
from moorage_common.core.states import AcceleratorKind
from moorage_scheduler.core.parallel import ParallelShape
from moorage_scheduler.core.request import VllmOptions
from moorage_scheduler.core.sizes import VllmSizes
from moorage_scheduler.estimators.vllm import Card, vllm_needs
from moorage_scheduler.estimators.vllm_shapes import candidate_shapes, refuse_count, shapes_on
from moorage_scheduler.estimators.vllm_stages import stages

GIB = 2**30
SIZES = st.builds(
    VllmSizes,
    block_weight_bytes=st.lists(st.integers(0, GIB), max_size=12).map(tuple),
    weight_bytes=st.integers(0, 40 * GIB),
    output_bytes=st.integers(0, GIB),
    token_embedding_bytes=st.integers(0, GIB),
    kv_bytes_per_token_per_block=st.integers(0, 8192),
    gpu_compute_bytes=st.integers(0, GIB),
    block_count=st.integers(0, 12),
    attention_head_count=st.sampled_from([0, 8, 24, 64]),
    kv_head_count=st.sampled_from([0, 1, 4, 8]),
    context_length=st.integers(0, 8192),
    lora_bytes=st.integers(0, GIB),
    draft_bytes=st.integers(0, GIB),
    projector_bytes=st.integers(0, GIB),
)
FACTS = st.one_of(st.sampled_from(sorted(MODELS)).map(MODELS.__getitem__), SIZES)
OPTIONS = st.builds(
    VllmOptions,
    gpu_memory_utilization=st.none() | st.floats(0.1, 1.0),
    max_model_len=st.integers(0, 65_536),
    dtype=st.sampled_from([None, VllmDtype.BF16, VllmDtype.F32]),
    kv_cache_dtype=st.sampled_from([None, VllmDtype.FP8]),
    max_num_seqs=st.integers(1, 1024),
    max_num_batched_tokens=st.integers(1, 16_384),
    enforce_eager=st.booleans(),
    text_only=st.booleans(),
)
KINDS = st.sampled_from([AcceleratorKind.CUDA, AcceleratorKind.ROCM, AcceleratorKind.CANN])


def most(needs, shape, kind):
    """What the stage that needs most needs, without what comes with the first companion: communication."""
    return max(
        parts.total - parts.overhead
        for parts in (needs.on_gpu(shape, stage, kind) for stage in needs.stages(shape))
    )


@settings(max_examples=150, deadline=None)
@given(FACTS, OPTIONS, KINDS, st.data())
def test_more_gpus_never_need_more_of_each(facts, options, kind, data):
    needs = vllm_needs(facts, options)
    shapes = list(candidate_shapes(needs.cuts, options, 16))
    fewer, more = data.draw(st.sampled_from(shapes)), data.draw(st.sampled_from(shapes))
    if more.tensor % fewer.tensor or more.pipeline % fewer.pipeline:
        return
    assert most(needs, more, kind) <= most(needs, fewer, kind)


@settings(max_examples=100, deadline=None)
@given(FACTS, OPTIONS, KINDS, st.integers(1, 65_536), st.integers(1, 65_536), st.data())
def test_a_longer_context_never_needs_less(facts, options, kind, one, other, data):
    shorter, longer = (
        vllm_needs(facts, replace(options, max_model_len=length)) for length in sorted((one, other))
    )
    shape = data.draw(st.sampled_from(list(candidate_shapes(shorter.cuts, options, 8))))
    for stage in shorter.stages(shape):
        assert shorter.on_gpu(shape, stage, kind).total <= longer.on_gpu(shape, stage, kind).total
    assert (
        shorter.on_host(shape, ranks=1, leads=True).total <= longer.on_host(shape, ranks=1, leads=True).total
    )


@settings(max_examples=100, deadline=None)
@given(FACTS, OPTIONS, KINDS, st.integers(1, 200), st.data())
def test_parts_add_up_to_the_claim_of_a_card_that_fits(facts, options, kind, gib, data):
    needs = vllm_needs(facts, options)
    shape = data.draw(st.sampled_from(list(candidate_shapes(needs.cuts, options, 8))))
    card = Card(total_bytes=gib * GIB, kind=kind)
    for stage in needs.stages(shape):
        parts = needs.claim(shape, stage, card)
        claimed = needs.claim_bytes(shape, stage, card)
        assert all(size > 0 for size in parts.values())
        if needs.shortage(shape, stage, card) <= 0:
            assert sum(parts.values()) == claimed <= card.total_bytes
        else:
            assert sum(parts.values()) > (card.total_bytes if needs.utilization is None else claimed)


@settings(max_examples=100, deadline=None)
@given(FACTS, OPTIONS, st.integers(1, 40), st.integers(0, 8), st.integers(0, 5), st.integers(0, 3))
def test_shapes_are_what_was_asked_for_or_there_is_a_refusal(facts, options, gpus, tensor, pipeline, copies):
    options = replace(
        options, tensor_parallel_size=tensor, pipeline_parallel_size=pipeline, data_parallel_size=copies
    )
    cuts = vllm_needs(facts, options).cuts
    shapes = shapes_on(cuts, options, gpus)
    assert (refuse_count(cuts, options, gpus) is None) == bool(shapes)
    for shape in shapes:
        assert shape.gpus == gpus
        assert shape.tensor == (tensor or shape.tensor)
        assert shape.pipeline == (pipeline or shape.pipeline)
        assert shape.data == max(1, copies)
        assert not cuts.misfit(shape.tensor)
    if (refusal := refuse_count(cuts, options, gpus)) is not None:
        assert refusal.needed
        assert refusal.available


@given(st.integers(1, 200), st.data())
def test_stages_have_all_blocks_and_differ_by_one_at_most(blocks, data):
    parts = stages(blocks, data.draw(st.integers(1, blocks)))
    assert [stage.start for stage in parts[1:]] == [stage.stop for stage in parts[:-1]]
    assert (parts[0].start, parts[-1].stop, sum(stage.share for stage in parts)) == (0, blocks, 1)
    assert max(stage.blocks for stage in parts) - min(stage.blocks for stage in parts) <= 1


@given(SIZES, st.integers(1, 4))
def test_stages_together_have_all_weights_that_were_given(sizes, pipeline):
    needs = vllm_needs(sizes, VllmOptions())
    if needs.cuts.block_count and pipeline > needs.cuts.block_count:
        return
    shape = ParallelShape(pipeline=pipeline)
    parts = [needs.on_gpu(shape, stage, AcceleratorKind.CUDA).weights for stage in needs.stages(shape)]
    ends = sizes.token_embedding_bytes + sizes.output_bytes
    weights = max(sizes.weight_bytes, ends) if sizes.weight_bytes else sum(sizes.block_weight_bytes) + ends
    everything = weights + sizes.lora_bytes + sizes.draft_bytes + pipeline * sizes.projector_bytes
    assert everything <= sum(parts) <= everything + 2 * pipeline
