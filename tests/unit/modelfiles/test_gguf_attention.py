"""What blocks attend to, and what they keep of each token."""

import pytest

from moorage_common.core.errors import ErrorReason, MoorageError


@pytest.fixture
def attending(new_llama, kinds):
    """A model with four heads in each of its blocks, and numbers of its architecture's."""

    def model(architecture, *, blocks=2, **numbers):
        gguf = new_llama(architecture=architecture, blocks=blocks)
        for name, number in {"head_count": 4, **numbers}.items():
            gguf.key(f"{architecture}.attention.{name}", kinds.U32, number)
        return gguf

    return model


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
    gguf.key("lfm2.shortconv.l_cache", kinds.U32, 3)
    gguf.key("lfm2.attention.head_count", kinds.U32, 4)
    gguf.key("lfm2.attention.head_count_kv", kinds.ARRAY, (kinds.U32, [0, 2, 0, 2]))
    assert facts_of(gguf).sliding_window_blocks == (False, True, False, True)


def test_keys_and_values_that_a_token_leaves(attending, facts_of):
    facts = facts_of(attending("llama", head_count_kv=2, key_length=16, value_length=8))
    assert facts.block_key_elements == (32, 32)
    assert facts.block_value_elements == (16, 16)


def test_blocks_with_a_window_may_have_other_lengths(attending, facts_of):
    lengths = {"key_length": 16, "value_length": 16, "key_length_swa": 8, "value_length_swa": 4}
    facts = facts_of(attending("gemma2", head_count_kv=2, **lengths))
    assert facts.block_key_elements == (16, 32)
    assert facts.block_value_elements == (8, 32)


def test_latent_attention_keeps_keys_only(attending, facts_of):
    lengths = {"head_count_kv": 1, "key_length": 576, "value_length": 512, "kv_lora_rank": 512}
    older = facts_of(attending("deepseek2", **lengths))
    assert (older.kv_lora_rank, older.key_length_mla) == (0, 0)  # converted before llama.cpp could do that
    assert older.block_value_elements == (512, 512)
    facts = facts_of(attending("deepseek2", **lengths, key_length_mla=192, value_length_mla=128))
    assert (facts.kv_lora_rank, facts.key_length_mla, facts.value_length_mla) == (512, 192, 128)
    assert facts.block_key_elements == (576, 576)
    assert facts.block_value_elements == (0, 0)


def test_an_index_is_one_more_key(attending, kinds, facts_of):
    latent = {
        "head_count_kv": 1, "key_length": 576, "value_length": 512, "kv_lora_rank": 512,
        "key_length_mla": 192, "value_length_mla": 128,
    }  # fmt: skip
    gguf = attending("deepseek32", **latent).tensor("blk.1.indexer.attn_k.weight", (32, 128))
    facts = facts_of(gguf.key("deepseek32.attention.indexer.key_length", kinds.U32, 128))
    assert facts.block_key_elements == (576, 576 + 128)


def test_later_blocks_may_share_the_keys_of_earlier_ones(attending, facts_of):
    facts = facts_of(attending("gemma4", blocks=4, shared_kv_layers=3))
    assert facts.block_key_elements == (32, 0, 0, 0)
    facts = facts_of(attending("gemma3n", blocks=22))
    assert [keys > 0 for keys in facts.block_key_elements] == [True] * 20 + [False] * 2


def test_encoders_keep_nothing(attending, facts_of):
    facts = facts_of(attending("bert"))
    assert facts.block_key_elements == facts.block_value_elements == (0, 0)
    assert facts.head_counts == (4, 4)


def test_more_keys_than_can_be_believed(attending, facts_of):
    with pytest.raises(MoorageError, match="keys per token would be") as caught:
        facts_of(attending("llama", head_count_kv=2**20, key_length=2**20))
    assert caught.value.reason is ErrorReason.MODEL_FILE_INVALID
