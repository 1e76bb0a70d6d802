"""What the header parser accepts, and what it says of what it does not."""

import struct

import pytest

from moorage_common.core.errors import ErrorReason, FailedPrecondition
from moorage_common.modelfiles.gguf import read_gguf_files
from moorage_common.modelfiles.gguf_header import SkippedArray, parse_header
from moorage_common.modelfiles.ranges import Need


def drive(data, *, size=None, chunk=None):
    """Parses bytes in memory, in pieces as small as the parser allows unless told otherwise."""
    parser = parse_header("m.gguf", len(data) if size is None else size)
    needs = []
    try:
        need = next(parser)
        while True:
            needs.append(need)
            assert isinstance(need, Need)
            assert need.length > 0
            end = need.offset + (need.length if chunk is None else max(chunk, need.length))
            need = parser.send(data[need.offset : end])
    except StopIteration as done:
        return done.value, needs


def error_of(data, **options):
    with pytest.raises(FailedPrecondition) as caught:
        drive(data, **options)
    assert caught.value.reason is ErrorReason.MODEL_FILE_INVALID
    assert caught.value.metadata == {"file": "m.gguf"}
    return caught.value.message


@pytest.mark.parametrize("chunk", [None, 7, 100, 1 << 20])
def test_reads_every_kind_of_value_whatever_the_pieces(new_llama, kinds, chunk):
    gguf = new_llama()
    gguf.key("n.u8", kinds.U8, 200).key("n.i64", kinds.I64, -5).key("n.f", kinds.F64, 0.5)
    gguf.key("n.b", kinds.BOOL, True).key("n.s", kinds.STRING, "ça va")
    gguf.key("n.a", kinds.ARRAY, (kinds.I16, [1, -2, 3])).key(
        "n.t", kinds.ARRAY, (kinds.STRING, ["a", "", "b" * 99])
    )
    gguf.key("n.long", kinds.STRING, "x" * 5000).key("n.many", kinds.ARRAY, (kinds.F32, [1.0] * 2000))
    header, _ = drive(gguf.file(), chunk=chunk)
    values = {key.removeprefix("n."): value for key, value in header.metadata.items() if key.startswith("n.")}
    assert values == {
        "u8": 200, "i64": -5, "f": 0.5, "b": True, "s": "ça va", "a": (1, -2, 3),
        "t": SkippedArray(3), "long": None, "many": SkippedArray(2000),
    }  # fmt: skip
    assert [tensor.name for tensor in header.tensors][:2] == ["token_embd.weight", "blk.0.attn_q.weight"]
    assert header.data_offset % 32 == 0
    assert header.version == 3


def test_steps_over_long_arrays_without_asking_for_them(new_llama, kinds):
    gguf = new_llama().key("tokenizer.ggml.scores", kinds.ARRAY, (kinds.F32, [0.0] * 100_000))
    _, needs = drive(gguf.file(), chunk=1024)
    assert sum(max(1024, need.length) for need in needs) < 10_000


def test_version_2_is_read(new_llama):
    gguf = new_llama()
    gguf.version = 2
    assert drive(gguf.file())[0].version == 2


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"", "it has only 0 bytes"),
        (b"GG", "it has only 2 bytes"),
        (b"PK\x03\x04rest of the zip", "a zip archive"),
        (b"version https://git-lfs.github.com/spec/v1", "a git-lfs pointer"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"GGUE" + b"\0" * 40, "begins with 'GGUE"),
    ],
)
def test_says_what_a_file_that_is_not_gguf_is(start, said):
    message = error_of(start)
    assert "not GGUF" in message
    assert said in message


@pytest.mark.parametrize(
    ("version", "said"),
    [(1, "version 1"), (4, "version 4"), (0, "version 0"), (0x03000000, "big-endian")],
)
def test_refuses_versions_that_the_engine_does_not_read(new_llama, version, said):
    gguf = new_llama()
    gguf.version = version
    assert said in error_of(gguf.file())


def test_truncation_is_told_with_both_sizes(new_llama):
    data = new_llama().file()
    for size in (20, 60, len(new_llama().header()) - 1):
        message = error_of(data[:size])
        assert "truncated" in message
        assert f"the file has {size}" in message
    assert f"the tensors need {len(data):,} bytes, the file has {len(data) - 1:,}" in error_of(data[:-1])


def test_a_file_that_is_shorter_than_it_said_is_truncated(new_llama):
    data = new_llama().file()
    assert "only 40 could be read" in error_of(data[:40], size=len(data))


def test_the_last_tensor_needs_no_padding(new_llama):
    gguf = new_llama().tensor("rest", (3,))
    drive(gguf.file()[:-20])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda g, k: g.key("general.architecture", k.STRING, "x"), "duplicate"),
        (lambda g, k: g.key("", k.U8, 1), "empty"),
        (lambda g, k: g.key("k" * 2000, k.U8, 1), "more than the 1024 allowed"),
        (lambda g, k: g.key("general.alignment", k.U32, 48), "not a power of two"),
        (lambda g, k: g.key("general.alignment", k.STRING, "32"), "not a power of two"),
        (lambda g, _: g.tensor("output.weight"), "twice"),
        (lambda g, _: g.tensor("t" * 64), "more than the 63 allowed"),
        (lambda g, _: g.tensor("t", (2, 2, 2, 2, 2)), "5 dimensions"),
        (lambda g, _: g.tensor("t", ()), "0 dimensions"),
        (lambda g, _: g.tensor("t", (0,)), "shape"),
        (lambda g, _: g.tensor("t", (33,), kind=8), "which Q8_0 cannot have"),
        (lambda g, _: g.tensor("t", kind=4), "unknown type 4"),
        (lambda g, _: g.tensor("t", kind=2**31), "unknown type"),
        (lambda g, _: g.tensor("t", offset=7), "should be at"),
        (lambda g, _: g.tensor("t", (2**63, 2**63), size=4), "truncated"),
    ],
)
def test_refuses_what_llama_cpp_refuses(new_llama, kinds, spoil, said):
    gguf = new_llama()
    spoil(gguf, kinds)
    assert said in error_of(gguf.file())


@pytest.mark.parametrize(
    ("tail", "said"),
    [
        (struct.pack("<I", 13), "unknown type 13"),
        (struct.pack("<IIQ", 9, 9, 1), "unknown type 9"),
        (struct.pack("<IQ", 8, 2**63), "truncated"),
        (struct.pack("<IIQ", 9, 8, 2**62), "strings"),
        (struct.pack("<IIQ", 9, 6, 2**62), "truncated"),
        (struct.pack("<IIQQ", 9, 8, 1, 2**64 - 1), "truncated"),
    ],
)
def test_refuses_lengths_that_the_file_cannot_hold(tail, said):
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k" + tail + b"\0" * 64
    assert said in error_of(data)


@pytest.mark.parametrize("counts", [(2**60, 0), (0, 2**60), (60_000, 0), (0, 8000)])
def test_refuses_counts_that_the_file_cannot_hold(counts):
    message = error_of(b"GGUF" + struct.pack("<IQQ", 3, *counts) + b"\0" * 500)
    assert "claims" in message or "truncated" in message


def test_a_header_does_not_go_on_for_ever():
    # A sparse file of a terabyte: everything that it claims could be in it.
    data = (
        b"GGUF"
        + struct.pack("<IQQ", 3, 0, 1)
        + struct.pack("<Q", 1)
        + b"k"
        + struct.pack("<IIQ", 9, 0, 2**39)
    )
    assert "past 256 MiB" in error_of(data, size=2**40)


def test_files_and_memory_are_read_by_the_same_code(new_llama, tmp_path):
    path = new_llama().write(tmp_path / "a.gguf")
    assert read_gguf_files([path]).block_count == 2
    path.write_bytes(b"")
    with pytest.raises(FailedPrecondition, match=r"a\.gguf is not a usable model file"):
        read_gguf_files([path])
