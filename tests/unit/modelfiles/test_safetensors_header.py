"""What the parser of safetensors headers accepts, and what it says of what it does not."""

import json
import struct

import pytest
import safetensors
from hypothesis import given
from hypothesis import strategies as st
from safetensors_files import TENSORS, entries, file_bytes, header

from moorage_common.core.errors import ErrorReason, FailedPrecondition
from moorage_common.modelfiles.safetensors_header import DTYPE_BITS, MAX_HEADER_BYTES, parse_safetensors

F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def drive(data, *, size=None, chunk=1 << 20):
    """Parses bytes in memory; returns the tensors and how many bytes were asked for."""
    found, asked = [], 0
    parser = parse_safetensors("m.safetensors", len(data) if size is None else size, found.append)
    try:
        need = next(parser)
        while True:
            length = max(chunk, need.length)
            asked = max(asked, need.offset + length)
            need = parser.send(data[need.offset : need.offset + length])
    except StopIteration:
        return found, asked


def error_of(data, **options):
    with pytest.raises(FailedPrecondition) as caught:
        drive(data, **options)
    assert caught.value.reason is ErrorReason.MODEL_FILE_INVALID
    assert caught.value.metadata == {"file": "m.safetensors"}
    return caught.value.message


@pytest.mark.parametrize("chunk", [1, 7, 100, 1 << 20])
def test_reads_every_tensor_whatever_the_pieces(chunk):
    found, _ = drive(file_bytes(TENSORS), chunk=chunk)
    assert [(tensor.name, tensor.dtype, tensor.shape) for tensor in found] == [
        (name, dtype, shape) for name, (dtype, shape) in TENSORS.items()
    ]
    assert [tensor.size_bytes for tensor in found][:2] == [320 * 64 * 2, 64 * 64 * 2]


def test_asks_for_the_header_alone():
    data = file_bytes({f"t{n}": ("F32", [10_000]) for n in range(10)})
    _, asked = drive(data, chunk=64)
    assert asked < 2_000 < len(data)


@pytest.mark.parametrize("dtype", sorted(DTYPE_BITS))
def test_every_number_format_is_as_large_as_the_library_says(dtype):
    size = DTYPE_BITS[dtype]
    data = header({"t": {"dtype": dtype, "shape": [8], "data_offsets": [0, size]}}) + bytes(size)
    safetensors.deserialize(data)
    assert drive(data)[0][0].size_bytes == size
    wrong = header({"t": {"dtype": dtype, "shape": [16], "data_offsets": [0, size]}}) + bytes(size)
    with pytest.raises(safetensors.SafetensorError):
        safetensors.deserialize(wrong)
    assert (
        f"tensor 't' is {dtype} of shape [16], {2 * size * 8:,} bits, but lies from byte 0 to {size}"
        in error_of(wrong)
    )


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"a": F32},
        {"a": {**F32, "more": 1}},
        {"__metadata__": None, "a": F32},
        {"scalar": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}},
        {"empty": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}, "a": F32},
        {"a": F32, "empty": {"dtype": "F32", "shape": [3, 0], "data_offsets": [8, 8]}},
        {"last": {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]}, "a": F32},
        json.dumps({"a": F32}).encode() + b"   ",
        json.dumps({"a": F32}, indent=2).encode(),
    ],
)
def test_takes_what_the_library_takes(content):
    entry_lists = [content] if isinstance(content, dict) else [json.loads(content)]
    size = max((entry["data_offsets"][1] for entry in entry_lists[0].values() if entry), default=0)
    data = header(content) + bytes(size)
    safetensors.deserialize(data)
    assert sum(tensor.size_bytes for tensor in drive(data)[0]) == size


@pytest.mark.parametrize(
    ("content", "size", "said"),
    [
        ({"a": F32}, 9, "1 bytes come after its tensors"),
        ({"a": F32}, 7, "truncated: its tensors have 8 bytes, the file has 7 for them"),
        ({}, 2, "2 bytes come after its tensors"),
        (
            {"a": {**F32, "data_offsets": [4, 12]}},
            12,
            "'a' leaves a gap before it: it lies at 4, should be at 0",
        ),
        ({"a": F32, "b": {**F32, "data_offsets": [12, 20]}}, 20, "'b' leaves a gap before it"),
        (
            {"a": F32, "b": {**F32, "data_offsets": [4, 12]}},
            12,
            "'b' overlaps the one before it: it lies at 4",
        ),
        ({"a": F32, "b": F32}, 8, "'b' overlaps the one before it"),
        ({"a": F32, "z": {"dtype": "F32", "shape": [0], "data_offsets": [4, 4]}}, 8, "overlaps"),
        ({"a": {**F32, "data_offsets": [-8, 0]}}, 8, "'a' overlaps"),
        (
            {"a": {**F32, "data_offsets": [0, 4]}},
            4,
            "is F32 of shape [2], 64 bits, but lies from byte 0 to 4",
        ),
        ({"a": {**F32, "data_offsets": [8, 0]}}, 8, "from byte 8 to 0"),
        ({"a": {**F32, "shape": [2**40, 2**40]}}, 8, "bits, but lies from byte 0 to 8"),
        ({"a": {**F32, "shape": [-1, -2]}}, 8, "it describes tensor 'a' as {"),
        ({"a": {**F32, "shape": [2.0]}}, 8, "it describes tensor 'a' as {"),
        ({"a": {**F32, "shape": [True, 2]}}, 8, "it describes tensor 'a' as {"),
        ({"a": {**F32, "shape": {}}}, 8, "it describes tensor 'a' as {"),
        ({"a": {**F32, "dtype": "F31"}}, 8, "'dtype': 'F31'"),
        ({"a": {**F32, "dtype": ["F32"]}}, 8, "it describes tensor 'a' as {"),
        ({"a": {**F32, "data_offsets": [0]}}, 8, "it describes tensor 'a' as {"),
        ({"a": {**F32, "data_offsets": [0.0, 8.0]}}, 8, "from byte 0.0 to 8.0"),
        ({"a": {**F32, "data_offsets": "ab"}}, 8, "it describes tensor 'a' as {"),
        ({"a": {"dtype": "F32", "shape": [2]}}, 8, "it describes tensor 'a' as {"),
        ({"a": 7}, 8, "it describes tensor 'a' as 7"),
        ({"a": [F32]}, 8, "it describes tensor 'a' as [{"),
        (
            {"f4": {"dtype": "F4", "shape": [3], "data_offsets": [0, 2]}},
            2,
            "12 bits, but lies from byte 0 to 2",
        ),
        ({"__metadata__": {"format": 1}}, 0, "__metadata__ in its header is not strings"),
        ({"__metadata__": []}, 0, "__metadata__ in its header is not strings"),
        (b"[]", 0, "its header is not JSON: expected { in '[]'"),
        (b"{} {}", 0, "more comes after its end"),
        (b'{"a": {"dtype"', 0, "its header is not JSON"),
    ],
)
def test_refuses_what_the_library_refuses_and_says_what_was_read(content, size, said):
    data = header(content) + bytes(size)
    with pytest.raises(safetensors.SafetensorError):
        safetensors.deserialize(data)
    assert said in error_of(data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not safetensors: it has 0 bytes"),
        (b"\x02\0\0\0\0\0\0\0", "not safetensors: it has 8 bytes"),
        (b"GGUF\x03\0\0\0" + bytes(30), "not safetensors: it is GGUF"),
        (b"PK\x03\x04zipped weights", "it is a zip archive"),
        (b"version https://git-lfs.github.com/spec/v1", "it is a git-lfs pointer"),
        (b"<!DOCTYPE html><html>", "it is an HTML page"),
        (b"<html><body></body></html>", "it is an HTML page"),
        (b"\x93NUMPY\x01\0 and more", "it begins with b'\\x93NUMPY\\x01\\x00', which would be a header of"),
        (struct.pack("<Q", MAX_HEADER_BYTES + 1) + b"{}", "a header of 100,000,001 bytes"),
        (struct.pack("<Q", 50) + b"{}", "truncated: its header ends at byte 58, the file has 10"),
        (struct.pack("<Q", 0) + b"{}", "it ends too early"),
    ],
)
def test_says_what_a_file_that_is_not_safetensors_is(data, said):
    assert said in error_of(data)


def test_a_file_that_is_shorter_than_it_was_said_to_be_is_truncated():
    data = file_bytes(TENSORS)
    assert "only 5 bytes could be read" in error_of(data[:5], size=len(data))
    assert "could be read" in error_of(data[:100], size=len(data))


def test_no_tensor_is_believed_to_have_more_than_64_dimensions():
    assert drive(header({"a": {**F32, "shape": [1] * 63 + [2]}}) + bytes(8))[0]
    assert "it describes tensor 'a' as {" in error_of(
        header({"a": {**F32, "shape": [1] * 64 + [2]}}) + bytes(8)
    )


def test_no_file_is_believed_to_be_larger_than_256_tebibytes():
    assert "it has 18,446,744,073,709,551,616 bytes" in error_of(b"", size=1 << 64)


@given(st.permutations(range(6)), st.data())
def test_the_order_of_the_entries_does_not_matter(order, data):
    found, size = entries(TENSORS)
    shuffled = {list(found)[n]: found[list(found)[n]] for n in order}
    assert {tensor.name for tensor in drive(header(shuffled) + bytes(size))[0]} == set(TENSORS)
    moved = data.draw(st.sampled_from(list(found)))
    by = data.draw(st.sampled_from([-4, -1, 1, 4, 1 << 30]))
    begin, end = shuffled[moved]["data_offsets"]
    shuffled[moved] = {**shuffled[moved], "data_offsets": [begin + by, end + by]}
    assert "before it" in error_of(header(shuffled) + bytes(size))
