"""No GGUF header, however broken, does worse than be refused."""

import pytest
from hostile_files import HostileFile, damaged, memory_bound
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moorage_cli.quickstart.tiny_model import TinyModel, write_tiny_model
from moorage_common.core.errors import ErrorReason, FailedPrecondition
from moorage_common.modelfiles.gguf_facts import gguf_facts
from moorage_common.modelfiles.gguf_header import parse_header
from moorage_downloader.convert import facts_to_proto

HUGE = 1 << 47
FIXED_BYTES = 2 << 20
GROWTH = 40
"""How many times larger than in the file a header may become: a number of one byte takes 8, a tensor a few hundred."""

lenient = settings(
    deadline=5000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


def read_or_refuse(*files):
    """Reads a model of these shards."""
    facts = error = None
    with memory_bound(lambda: FIXED_BYTES + GROWTH * sum(min(len(file.data), file.sent) for file in files)):
        try:
            facts = gguf_facts([file.drive(parse_header(file.name, file.size)) for file in files])
        except FailedPrecondition as refusal:
            error = refusal
    if error is not None:
        assert error.reason in {ErrorReason.MODEL_FILE_INVALID, ErrorReason.ARCHITECTURE_UNSUPPORTED}
        assert len(error.message.encode()) < 1500
        return None
    facts_to_proto(facts).SerializeToString()
    return facts


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The headers of a real model, whole and in shards, with the sizes of their files."""
    folder = tmp_path_factory.mktemp("gguf")
    found = {}
    for shards in (1, 3):
        paths = write_tiny_model(folder / f"{shards}.gguf", TinyModel(shards=shards))
        found[shards] = [(path.read_bytes()[:20_000], path.stat().st_size) for path in paths]
    return found


def hostile(headers):
    return [HostileFile(f"{n}.gguf", data, size) for n, (data, size) in enumerate(headers)]


def test_what_is_damaged_below_is_right_to_begin_with(real):
    assert read_or_refuse(*hostile(real[1]))
    assert read_or_refuse(*hostile(real[3]))


@lenient
@given(st.binary(max_size=300), st.integers(0, HUGE))
def test_random_bytes_behind_the_magic(tail, size):
    read_or_refuse(HostileFile("m.gguf", b"GGUF\x03\0\0\0" + tail, size))


@lenient
@given(st.data())
def test_damaged_headers(real, data):
    headers = list(real[data.draw(st.sampled_from([1, 3]))])
    at = data.draw(st.integers(0, len(headers) - 1))
    raw, size = headers[at]
    # Half of the time where there is no tokenizer: everything there means something.
    cut = data.draw(st.sampled_from([600, len(raw)]))
    broken = data.draw(damaged(raw[:cut])) + raw[cut:]
    headers[at] = broken, data.draw(st.sampled_from([size, len(broken), HUGE]))
    read_or_refuse(*hostile(headers))


@lenient
@given(st.data())
def test_shards_that_are_mixed_up(real, data):
    chosen = data.draw(st.lists(st.sampled_from([*real[1], *real[3]]), min_size=1, max_size=4))
    facts = read_or_refuse(*hostile(chosen))
    assert (facts is not None) == (chosen in (real[1], real[3]))


ARCHITECTURES = [
    "bert", "deepseek2", "deepseek32", "falcon-h1", "gemma3", "gemma3n", "jamba", "kimi-linear", "lfm2", "llama",
    "mamba", "mamba2", "minimax-01", "nemotron_h", "qwen3next", "rwkv6", "rwkv7",
]  # fmt: skip
NUMBERS = st.integers(-(2**31), 2**31 - 1) | st.sampled_from([0, 1, 2, 3, 8, 32, 512, 2**31 - 1])


@settings(lenient, max_examples=150)
@given(st.data())
def test_keys_that_say_something_else(new_llama, kinds, data):
    gguf = new_llama(architecture=data.draw(st.sampled_from(ARCHITECTURES)))
    architecture = gguf.keys[0][2]
    names = [
        "block_count", "context_length", "embedding_length", "feed_forward_length", "expert_feed_forward_length",
        "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length",
        "attention.key_length_mla", "attention.kv_lora_rank", "attention.sliding_window", "vocab_size",
        "attention.sliding_window_pattern", "expert_count", "expert_used_count", "attention.indexer.key_length",
        "attention.key_length_swa", "attention.value_length_swa", "attention.shared_kv_layers",
        "nextn_predict_layers", "ssm.inner_size", "ssm.state_size", "ssm.group_count", "ssm.conv_kernel",
        "ssm.time_step_rank", "wkv.head_size", "token_shift_count", "shortconv.l_cache", "kda.head_dim",
        "full_attention_interval", "attention.recurrent_layers",
    ]  # fmt: skip
    whole = [f"{architecture}.{name}" for name in names]
    whole += [
        "general.file_type",
        "general.type",
        "general.alignment",
        "split.count",
        "split.no",
        "general.name",
    ]
    for name in data.draw(st.lists(st.sampled_from(whole), max_size=8, unique=True)):
        gguf.keys = [key for key in gguf.keys if key[0] != name]
        kind, content = data.draw(
            st.one_of(
                st.tuples(st.just(kinds.I32), NUMBERS),
                st.tuples(st.just(kinds.U64), st.integers(0, 2**64 - 1)),
                st.tuples(st.just(kinds.F64), st.floats()),
                st.tuples(st.just(kinds.BOOL), st.booleans()),
                st.tuples(st.just(kinds.STRING), st.binary(max_size=9) | st.text(max_size=9)),
                st.tuples(
                    st.just(kinds.ARRAY),
                    st.tuples(st.just(kinds.I32), st.lists(NUMBERS, min_size=2, max_size=3)),
                ),
                st.tuples(
                    st.just(kinds.ARRAY), st.tuples(st.just(kinds.F32), st.lists(st.just(1.5), max_size=2))
                ),
            )
        )
        gguf.key(name, kind, content)
    content = gguf.file()
    read_or_refuse(HostileFile("m.gguf", content))


@pytest.mark.parametrize("size", [HUGE, 1 << 63, 1 << 80])
def test_tensors_of_any_size_are_refused_or_fit_where_they_are_stored(new_llama, size):
    gguf = new_llama()
    gguf.tensor("huge.weight", (2**40, 2**24), size=32)
    read_or_refuse(HostileFile("m.gguf", gguf.header(), size))


def test_claims_cost_no_memory(new_llama, kinds):
    tokens = [f"token{n}" for n in range(128_000)]
    gguf = new_llama().key("tokenizer.ggml.tokens", kinds.ARRAY, (kinds.STRING, tokens))
    gguf.key("tokenizer.ggml.scores", kinds.ARRAY, (kinds.F32, [0.0] * len(tokens)))
    file = HostileFile("m.gguf", gguf.file())
    del tokens, gguf
    with memory_bound(lambda: 4 << 20):
        assert file.drive(parse_header(file.name, file.size))
