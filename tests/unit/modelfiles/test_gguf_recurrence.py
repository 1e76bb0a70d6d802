"""What blocks carry from token to token."""

import pytest

from moorage_common.core.errors import ErrorReason, MoorageError

MAMBA = {"ssm.inner_size": 64, "ssm.state_size": 16, "ssm.conv_kernel": 4, "ssm.time_step_rank": 8}
MAMBA2 = MAMBA | {"ssm.group_count": 2}


@pytest.fixture
def model(new_llama, kinds):
    """A model of four blocks with numbers of its architecture's; a list is one number per block."""

    def write(architecture, numbers):
        gguf = new_llama(architecture=architecture, blocks=4)
        for name, content in numbers.items():
            several = isinstance(content, list)
            kind = kinds.BOOL if several and isinstance(content[0], bool) else kinds.U32
            gguf.key(
                f"{architecture}.{name}",
                kinds.ARRAY if several else kind,
                (kind, content) if several else content,
            )
        return gguf

    return write


@pytest.mark.parametrize(
    ("architecture", "numbers", "state"),
    [
        ("mamba", MAMBA, 3 * 64 + 16 * 64),
        ("mamba2", MAMBA2, 3 * (64 + 2 * 2 * 16) + 16 * 64),
        ("rwkv6", {"wkv.head_size": 8}, 32 * (2 + 8)),
        ("rwkv7", {"wkv.head_size": 8}, 32 * (2 + 8)),
        ("arwkv7", {"wkv.head_size": 8, "token_shift_count": 1}, 32 * (1 + 8)),
    ],
)
def test_models_that_are_recurrent_in_all_blocks(model, facts_of, architecture, numbers, state):
    facts = facts_of(model(architecture, numbers))
    assert facts.block_state_bytes == (4 * state,) * 4
    assert facts.block_key_elements == (0,) * 4


SOME = {"attention.head_count": 4, "attention.head_count_kv": [0, 2, 0, 2], "attention.key_length": 8}


@pytest.mark.parametrize(
    ("architecture", "numbers", "state"),
    [
        ("jamba", MAMBA, 3 * 64 + 16 * 64),
        ("granitehybrid", MAMBA2, 3 * 128 + 16 * 64),
        ("lfm2", {"shortconv.l_cache": 3}, 32 * 2),
        ("kimi-linear", {"kda.head_dim": 8, "ssm.conv_kernel": 4}, 32 * 8 + 3 * 3 * 32),
    ],
)
def test_blocks_without_keys_are_recurrent(model, facts_of, architecture, numbers, state):
    facts = facts_of(model(architecture, SOME | numbers))
    assert facts.block_state_bytes == (4 * state, 0) * 2
    assert facts.block_key_elements == (0, 16) * 2


def test_blocks_that_do_both(model, facts_of):
    facts = facts_of(model("falcon-h1", MAMBA2 | {"attention.head_count": 4}))
    assert facts.block_state_bytes == (4 * (3 * 128 + 16 * 64),) * 4
    assert facts.block_key_elements == (32,) * 4


def test_blocks_that_are_one_thing_only(model, facts_of):
    numbers = MAMBA2 | {"attention.head_count_kv": [0, 2, 0, 0], "feed_forward_length": [0, 0, 64, 0]}
    facts = facts_of(model("nemotron_h", {"attention.head_count": 4} | numbers))
    assert [state > 0 for state in facts.block_state_bytes] == [True, False, False, True]


@pytest.mark.parametrize(
    ("numbers", "recurrent"),
    [
        ({}, [True, True, True, False]),
        ({"full_attention_interval": 2}, [True, False, True, False]),
        ({"attention.recurrent_layers": [False, True, True, False]}, [False, True, True, False]),
        ({"nextn_predict_layers": 2}, [True, True, False, False]),
    ],
)
def test_blocks_that_the_header_lists(model, facts_of, numbers, recurrent):
    facts = facts_of(model("qwen3next", MAMBA2 | {"attention.head_count": 4} | numbers))
    assert [state > 0 for state in facts.block_state_bytes] == recurrent
    loaded = 4 - numbers.get("nextn_predict_layers", 0)
    for keys, state in zip(facts.block_key_elements[:loaded], recurrent, strict=False):
        assert bool(keys) is not state


def test_what_recurrent_blocks_compute_in(model, facts_of):
    facts = facts_of(model("mamba2", MAMBA2))
    assert (facts.recurrent_inner_length, facts.recurrent_state_length) == (64, 16)
    assert (facts.recurrent_group_count, facts.recurrent_head_count) == (2, 8)
    assert facts.recurrent_kernel_length == 4


def test_a_plain_model_has_none(model, facts_of):
    facts = facts_of(model("llama", MAMBA2))
    assert (facts.block_state_bytes, facts.recurrent_inner_length) == ((0,) * 4, 0)


@pytest.mark.parametrize(
    ("architecture", "numbers", "said"),
    [
        (
            "mamba",
            MAMBA | {"ssm.inner_size": 2**31 - 1, "ssm.state_size": 2**31 - 1},
            "state per block would be",
        ),
        ("rwkv7", {"wkv.head_size": 0}, "wkv.head_size is 0"),
        ("lfm2", {"shortconv.l_cache": 0}, "shortconv.l_cache is 0"),
    ],
)
def test_numbers_that_cannot_be_believed(model, facts_of, architecture, numbers, said):
    with pytest.raises(MoorageError, match=said) as caught:
        facts_of(model(architecture, numbers))
    assert caught.value.reason is ErrorReason.MODEL_FILE_INVALID
