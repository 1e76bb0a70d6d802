"""No header, however broken, does worse than be refused."""

import tracemalloc
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from moorage_common.core.errors import FailedPrecondition as Refused
from moorage_common.modelfiles.gguf_facts import gguf_facts
from moorage_common.modelfiles.gguf_header import parse_header
from moorage_common.modelfiles.ranges import LARGEST_CHUNK_BYTES

HUGE = 1 << 50


def read_or_refuse(data, size):
    """Parses, answering every request with what there is, then zeros: as a hostile server could."""
    parser = parse_header("m.gguf", size)
    asked = 0
    try:
        need = next(parser)
        while True:
            asked += 1
            assert asked < 1000
            length = max(need.length, min(LARGEST_CHUNK_BYTES, size - need.offset))
            chunk = data[need.offset : need.offset + length]
            need = parser.send(chunk + bytes(length - len(chunk)))
    except StopIteration as done:
        with suppress(Refused):
            gguf_facts([done.value])
    except Refused:
        pass


@given(st.binary(max_size=300), st.integers(0, HUGE))
def test_random_bytes_behind_the_magic(tail, size):
    read_or_refuse(b"GGUF\x03\0\0\0" + tail, size)


@given(st.data())
def test_damaged_headers(new_llama, kinds, data):
    gguf = new_llama().key("llama.attention.head_count", kinds.ARRAY, (kinds.U32, [4, 4]))
    gguf.key("tokenizer.ggml.tokens", kinds.ARRAY, (kinds.STRING, ["a", "bc"]))
    raw = bytearray(gguf.header())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(raw) - 1))
        patch = data.draw(st.sampled_from([1, 4, 8]).flatmap(lambda n: st.binary(min_size=n, max_size=n)))
        raw[at : at + len(patch)] = patch
    read_or_refuse(bytes(raw), data.draw(st.sampled_from([len(raw), len(gguf.file()), HUGE])))


def test_claims_cost_no_memory(new_llama, kinds):
    tokens = [f"token{n}" for n in range(128_000)]
    gguf = new_llama().key("tokenizer.ggml.tokens", kinds.ARRAY, (kinds.STRING, tokens))
    gguf.key("tokenizer.ggml.scores", kinds.ARRAY, (kinds.F32, [0.0] * len(tokens)))
    data = gguf.file()
    tracemalloc.start()
    try:
        read_or_refuse(data, len(data))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 << 20
