"""What headers say about a model."""

import pytest

from moorage_common.core.errors import ErrorReason, FailedPrecondition, MoorageError
from moorage_common.modelfiles.architectures import ARCHITECTURES, ENCODERS, SLIDING_WINDOWS
from moorage_common.modelfiles.gguf import read_gguf_files


@pytest.fixture
def facts_of(tmp_path):
    def read(*ggufs):
        return read_gguf_files([gguf.write(tmp_path / f"m{n}.gguf") for n, gguf in enumerate(ggufs)])

    return read


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


def test_a_mixture_of_experts_with_a_compressed_cache(new_llama, kinds, facts_of):
    gguf = new_llama(architecture="deepseek2")
    numbers = {
        "expert_count": 64, "expert_used_count": 6, "expert_feed_forward_length": 1408, "attention.head_count": 16,
        "attention.head_count_kv": 1, "attention.key_length": 576, "attention.value_length": 512,
        "attention.kv_lora_rank": 512,
    }  # fmt: skip
    for name, number in numbers.items():
        gguf.key(f"deepseek2.{name}", kinds.U32, number)
    facts = facts_of(gguf)
    assert (facts.expert_count, facts.expert_used_count, facts.expert_feed_forward_length) == (64, 6, 1408)
    assert facts.feed_forward_lengths == (1408, 1408)
    assert (facts.key_length, facts.value_length) == (576, 512)
    assert facts.kv_lora_rank == 0  # converted before llama.cpp compressed the cache
    gguf.key("deepseek2.attention.key_length_mla", kinds.U32, 192)
    assert facts_of(gguf).kv_lora_rank == 512


@pytest.mark.parametrize(
    ("architecture", "keys", "window", "blocks"),
    [
        ("gemma3", {"attention.sliding_window": 512}, 512, "11111011"),
        ("gemma3", {}, 0, ""),
        ("gemma2", {}, 4096, "10101010"),
        ("gpt-oss", {"attention.sliding_window": 128}, 128, "10101010"),
        ("llama4", {}, 8192, "11101110"),
        ("llama4", {"attention.sliding_window": 0}, 0, ""),
        ("cohere2moe", {"attention.sliding_window": 64}, 64, "01110111"),
        ("gemma3", {"attention.sliding_window": 64, "attention.sliding_window_pattern": 2}, 64, "10101010"),
        (
            "gemma4",
            {"attention.sliding_window": 64, "attention.sliding_window_pattern": [1, 0, 1]},
            64,
            "10100000",
        ),
        ("llama", {"attention.sliding_window": 64}, 0, ""),
    ],
)
def test_sliding_windows(new_llama, kinds, facts_of, architecture, keys, window, blocks):
    gguf = new_llama(architecture=architecture, blocks=8).key(
        f"{architecture}.attention.head_count", kinds.U32, 4
    )
    for name, content in keys.items():
        kind = kinds.ARRAY if isinstance(content, list) else kinds.U32
        gguf.key(
            f"{architecture}.{name}", kind, (kinds.BOOL, content) if isinstance(content, list) else content
        )
    facts = facts_of(gguf)
    assert facts.sliding_window == window
    assert "".join(str(int(block)) for block in facts.sliding_window_blocks) == blocks


def test_blocks_without_a_cache_have_no_window(new_llama, kinds, facts_of):
    gguf = new_llama(architecture="lfm2", blocks=4).key("lfm2.attention.sliding_window", kinds.U32, 64)
    gguf.key("lfm2.attention.head_count", kinds.U32, 4)
    gguf.key("lfm2.attention.head_count_kv", kinds.ARRAY, (kinds.U32, [0, 2, 0, 2]))
    assert facts_of(gguf).sliding_window_blocks == (False, True, False, True)


def test_tied_embeddings(new_gguf, new_llama, facts_of):
    gguf = new_llama()
    gguf.tensors.pop()
    assert facts_of(gguf).tied_embedding
    encoder = new_llama(architecture="bert")
    encoder.tensors.pop()
    assert not facts_of(encoder).tied_embedding


def test_repacked_bytes_are_those_of_matrices_of_some_types(new_llama, facts_of):
    gguf = new_llama()
    gguf.tensor("blk.1.ffn_up.weight", (32, 64), kind=2, size=64 * 18)
    gguf.tensor("blk.1.ffn_norm.weight", (32,), kind=2, size=18)
    gguf.tensor("output_extra.weight", (32, 2), kind=20, size=36)
    facts = facts_of(gguf)
    assert facts.block_repack_bytes == (0, 64 * 18)
    assert facts.output_repack_bytes == 36
    assert facts.block_bytes[1] == 4096 + 64 * 18 + 18


def test_a_tied_embedding_is_repacked_as_the_output_head(new_gguf, new_llama, facts_of):
    def model(*heads):
        gguf = new_gguf(keys=new_llama().keys).tensor("token_embd.weight", (32, 10), kind=2, size=10 * 18)
        for head in heads:
            gguf.tensor(head, (32, 10))
        return facts_of(gguf)

    assert model().output_repack_bytes == model().token_embedding_bytes == 10 * 18
    assert model("output.weight").output_repack_bytes == 0


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


def test_the_tables_of_architectures_agree():
    assert ENCODERS <= ARCHITECTURES
    assert set(SLIDING_WINDOWS) <= ARCHITECTURES
