"""What headers say about a model."""

import pytest

from moorage_common.core.errors import ErrorReason, FailedPrecondition, MoorageError
from moorage_common.core.placement import ModelCategory
from moorage_common.modelfiles.architectures import (
    ARCHITECTURES,
    ATTENTION_FIRST,
    ENCODERS,
    HEAD_FIRST,
    NORMED_VALUES,
    OWN_NORMS,
    RECURRENT,
    RESIDUAL_FIRST,
    SLIDING_WINDOWS,
    UNCACHED,
    UNROTATED,
)


def test_a_plain_model(new_llama, kinds, facts_of):
    gguf = new_llama(blocks=3)
    for name, number in {
        "feed_forward_length": 128,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
    }.items():
        gguf.key(f"llama.{name}", kinds.U32, number)
    gguf.key("general.name", kinds.STRING, "Dinghy").key("general.file_type", kinds.U32, 15)
    gguf.key("tokenizer.ggml.tokens", kinds.ARRAY, (kinds.STRING, ["a", "b", "c"]))
    gguf.tensor("rope_freqs.weight", (16,))
    facts = facts_of(gguf)
    assert facts.architecture == "llama"
    assert facts.model_name == "Dinghy"
    assert (facts.block_count, facts.context_length, facts.embedding_length) == (3, 512, 32)
    assert facts.vocabulary_size == 3
    assert facts.feed_forward_lengths == (128, 128, 128)
    assert (facts.head_counts, facts.head_counts_kv) == ((4, 4, 4), (2, 2, 2))
    assert (facts.key_length, facts.value_length) == (8, 8)
    assert (facts.quantization, facts.file_type) == ("F32", "Q4_K_M")
    assert facts.block_bytes == (4096, 4096, 4096)
    assert (facts.token_embedding_bytes, facts.output_bytes, facts.other_bytes) == (1280, 128 + 1280, 64)
    assert facts.total_tensor_bytes == 3 * 4096 + 1280 + 1408 + 64
    assert facts.parameter_count == facts.total_tensor_bytes // 4
    assert not facts.tied_embedding
    assert (facts.sliding_window, facts.sliding_window_blocks) == (0, ())


def test_defaults_where_llama_cpp_has_them(new_llama, kinds, facts_of):
    facts = facts_of(new_llama().key("llama.attention.head_count", kinds.U32, 4))
    assert facts.head_counts_kv == (4, 4)
    assert facts.vocabulary_size == 10  # the rows of the embedding
    assert facts.model_name == facts.file_type == ""
    assert facts_of(new_llama()).key_length == 0  # no attention at all


def test_per_block_arrays(new_llama, kinds, facts_of):
    gguf = new_llama(architecture="deci", blocks=3)
    gguf.key("deci.attention.head_count", kinds.ARRAY, (kinds.I32, [8, 0, 4]))
    gguf.key("deci.attention.head_count_kv", kinds.ARRAY, (kinds.U32, [2, 0, 1]))
    gguf.key("deci.feed_forward_length", kinds.ARRAY, (kinds.U32, [64, 32, 16]))
    facts = facts_of(gguf)
    assert facts.head_counts == (8, 0, 4)
    assert facts.head_counts_kv == (2, 0, 1)
    assert facts.feed_forward_lengths == (64, 32, 16)
    assert facts.key_length == 4


def test_tied_embeddings(new_gguf, new_llama, facts_of):
    gguf = new_llama()
    gguf.tensors.pop()
    assert facts_of(gguf).tied_embedding
    encoder = new_llama(architecture="bert")
    encoder.tensors.pop()
    assert not facts_of(encoder).tied_embedding


def shards(new_gguf, new_llama, kinds, *, count=2, total=None):
    first = new_llama().key("split.no", kinds.U16, 0).key("split.count", kinds.U16, count)
    rest = [
        new_gguf()
        .key("split.no", kinds.U16, n)
        .key("split.count", kinds.U16, count)
        .tensor(f"blk.1.extra{n}", (8,))
        for n in range(1, count)
    ]
    total = len(first.tensors) + len(rest) if total is None else total
    first.key("split.tensors.count", kinds.I32, total)
    return [first, *rest]


def test_shards_are_summed(new_gguf, new_llama, kinds, facts_of):
    facts = facts_of(*shards(new_gguf, new_llama, kinds, count=3))
    assert facts.block_bytes == (4096, 4096 + 64)
    assert facts.parameter_count == facts_of(new_llama()).parameter_count + 16


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda files: files[:1], "one of 2 shards, there are 1"),
        (lambda files: [*files, files[1]], "one of 2 shards, there are 3"),
        (lambda files: [files[0], files[0]], "shard 1, its name says 2"),
    ],
)
def test_shards_must_belong_together(new_gguf, new_llama, kinds, facts_of, change, said):
    with pytest.raises(FailedPrecondition, match=said):
        facts_of(*change(shards(new_gguf, new_llama, kinds)))


def test_shards_must_hold_all_tensors_once(new_gguf, new_llama, kinds, facts_of):
    with pytest.raises(FailedPrecondition, match="hold 6 tensors, should hold 9"):
        facts_of(*shards(new_gguf, new_llama, kinds, total=9))
    files = shards(new_gguf, new_llama, kinds)
    files[1].tensors[0] = ("output.weight", *files[1].tensors[0][1:])
    with pytest.raises(FailedPrecondition, match=r"'output\.weight' is in two"):
        facts_of(*files)


@pytest.mark.parametrize("architecture", ["gpt5", "clip", "eagle3", "LLAMA"])
def test_architectures_that_llama_cpp_does_not_serve(new_llama, facts_of, architecture):
    with pytest.raises(FailedPrecondition) as caught:
        facts_of(new_llama(architecture=architecture))
    assert caught.value.reason is ErrorReason.ARCHITECTURE_UNSUPPORTED
    assert architecture in caught.value.message
    assert caught.value.metadata["architecture"] == architecture


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda g, k: g.key("general.type", k.STRING, "adapter"), "kind 'adapter'"),
        (lambda g, k: g.key("llama.attention.head_count", k.STRING, "8"), "head_count is '8'"),
        (lambda g, k: g.key("llama.attention.head_count", k.I32, -1), "head_count is -1"),
        (lambda g, k: g.key("llama.attention.head_count", k.ARRAY, (k.U32, [1])), "1 entries for 2 blocks"),
        (lambda g, k: g.key("llama.attention.head_count", k.ARRAY, (k.F32, [1, 2])), "head_count is"),
        (lambda g, k: g.key("llama.expert_count", k.U64, 2**40), "expert_count is"),
        (lambda g, _: g.keys.pop(1), "llama.block_count is missing"),
        (lambda g, _: g.keys.pop(2), "llama.context_length is missing"),
        (lambda g, _: g.keys.pop(0), "general.architecture is missing"),
        (lambda g, k: g.keys.__setitem__(1, ("llama.block_count", k.U32, 513)), "513 blocks"),
        (lambda g, k: g.keys.__setitem__(1, ("llama.block_count", k.U32, 0)), "block_count is 0"),
        (lambda g, _: g.tensors.clear(), "no tensors"),
    ],
)
def test_says_which_key_is_wrong(new_llama, kinds, facts_of, spoil, said):
    gguf = new_llama()
    spoil(gguf, kinds)
    with pytest.raises(MoorageError) as caught:
        facts_of(gguf)
    assert caught.value.reason is ErrorReason.MODEL_FILE_INVALID
    assert said in caught.value.message


@pytest.mark.parametrize(
    "table",
    [
        ENCODERS,
        UNCACHED,
        UNROTATED,
        RESIDUAL_FIRST,
        ATTENTION_FIRST,
        OWN_NORMS,
        HEAD_FIRST,
        NORMED_VALUES,
        SLIDING_WINDOWS,
        RECURRENT,
    ],
)
def test_the_tables_of_architectures_agree(table):
    assert set(table) <= ARCHITECTURES


@pytest.mark.parametrize(
    ("architecture", "pooling", "category"),
    [
        ("llama", None, ModelCategory.LLM),
        ("llama", 0, ModelCategory.LLM),
        ("qwen3", 3, ModelCategory.EMBEDDING),
        ("qwen3", 4, ModelCategory.RERANKER),
        ("bert", None, ModelCategory.EMBEDDING),
        ("bert", 4, ModelCategory.RERANKER),
    ],
)
def test_what_a_model_is_for(new_llama, kinds, facts_of, architecture, pooling, category):
    gguf = new_llama(architecture=architecture)
    if pooling is not None:
        gguf.key(f"{architecture}.pooling_type", kinds.U32, pooling)
    assert facts_of(gguf).category is category


def test_embeddings_of_each_blocks_own(new_llama, kinds, facts_of):
    gguf = new_llama(architecture="gemma4")
    assert facts_of(gguf).own_embedding_length == 0
    assert (
        facts_of(gguf.key("gemma4.embedding_length_per_layer_input", kinds.U32, 256)).own_embedding_length
        == 256
    )


def test_a_projector_beside_a_model(new_gguf, new_llama, kinds, facts_of):
    projector = (
        new_gguf().key("general.architecture", kinds.STRING, "clip").tensor("v.patch_embd.weight", (32, 8))
    )
    alone, both = facts_of(new_llama()), facts_of(new_llama(), projector)
    assert (alone.projector_bytes, both.projector_bytes) == (0, 4 * 32 * 8)
    assert both.total_tensor_bytes == alone.total_tensor_bytes
    assert both.parameter_count == alone.parameter_count


def test_blocks_that_guess_further_tokens(new_llama, kinds, facts_of):
    gguf = new_llama(architecture="glm4moe", blocks=3).key("glm4moe.attention.head_count", kinds.U32, 4)
    facts = facts_of(gguf.key("glm4moe.nextn_predict_layers", kinds.U32, 1))
    assert facts.nextn_block_count == 1
    assert facts.block_key_elements == (32, 32, 0)
    assert facts.block_bytes == (4096,) * 3
    switch = new_llama(architecture="graniteswitch", blocks=3)
    assert facts_of(switch.key("graniteswitch.nextn_predict_layers", kinds.U32, 1)).nextn_block_count == 0


def test_shapes_of_feed_forward_layers(new_llama, kinds, facts_of):
    def model(architecture, *tensors, **numbers):
        gguf = new_llama(architecture=architecture).key(f"{architecture}.feed_forward_length", kinds.U32, 64)
        for name, shape in tensors:
            gguf.tensor(f"blk.0.{name}.weight", shape)
        for name, number in numbers.items():
            gguf.key(f"{architecture}.{name}", kinds.BOOL, number)
        return facts_of(gguf)

    up, gate, fused = ("ffn_up", (32, 64)), ("ffn_gate", (32, 64)), ("ffn_up", (32, 128))
    around = ("attn_norm", (32,)), ("attn_output", (32, 32))
    assert model("llama", up).ungated_feed_forward
    assert not model("llama", up, gate).ungated_feed_forward
    assert not model("phi3", fused).ungated_feed_forward
    assert not model("qwen3moe", ("ffn_gate_up_exps", (32, 128, 4))).ungated_feed_forward
    assert model("command-r", up, gate, *around).parallel_feed_forward
    assert not model("llama", up, gate, *around, ("ffn_norm", (32,))).parallel_feed_forward
    assert not model("olmo2", up, gate, *around, ("post_attention_norm", (32,))).parallel_feed_forward
    assert model("gptneox", up, use_parallel_residual=True).parallel_feed_forward
    assert not model("llama", *around).post_normed
    assert model("olmo2", ("post_attention_norm", (32,))).post_normed
    assert model("phi3", ("attn_qkv", (32, 96))).fused_attention
    assert not model("qwen3next", ("attn_qkv", (32, 96))).fused_attention
