"""Writes GGUF headers by hand, right or deliberately wrong."""

import struct
from dataclasses import dataclass, field

import pytest

from moorage_common.modelfiles.gguf import read_gguf_files

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
FORMATS = {
    U8: "B",
    I8: "b",
    U16: "H",
    I16: "h",
    U32: "I",
    I32: "i",
    F32: "f",
    BOOL: "?",
    U64: "Q",
    I64: "q",
    F64: "d",
}


def text(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(kind, content):
    if kind == STRING:
        return text(content)
    if kind == ARRAY:
        inner, entries = content
        return struct.pack("<IQ", inner, len(entries)) + b"".join(value(inner, entry) for entry in entries)
    return struct.pack(f"<{FORMATS[kind]}", content)


@dataclass
class Gguf:
    """A file in the making."""

    keys: list = field(default_factory=list)
    """(name, kind, content)"""
    tensors: list = field(default_factory=list)
    """(name, type number, shape, bytes, offset)"""
    version: int = 3
    alignment: int = 32
    magic: bytes = b"GGUF"
    data_bytes: int = 0

    def key(self, name, kind, content):
        self.keys.append((name, kind, content))
        return self

    def tensor(self, name, shape=(32,), kind=0, size=None, offset=None):
        if size is None:
            size = 4
            for length in shape:
                size *= length
        self.tensors.append((name, kind, shape, self.data_bytes if offset is None else offset))
        self.data_bytes += -(-size // self.alignment) * self.alignment
        self.last_end = self.tensors[-1][3] + size
        return self

    def header(self):
        out = self.magic + struct.pack("<IQQ", self.version, len(self.tensors), len(self.keys))
        for name, kind, content in self.keys:
            out += text(name) + struct.pack("<I", kind) + value(kind, content)
        for name, kind, shape, offset in self.tensors:
            out += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
            out += struct.pack("<IQ", kind, offset)
        return out

    def file(self):
        header = self.header()
        padding = -len(header) % self.alignment
        return header + b"\0" * (padding + self.data_bytes)

    def write(self, path):
        path.write_bytes(self.file())
        return path


def llama(*, blocks=2, architecture="llama", hidden=32):
    """The least that is a model."""
    gguf = Gguf().key("general.architecture", STRING, architecture)
    for name, number in {"block_count": blocks, "context_length": 512, "embedding_length": hidden}.items():
        gguf.key(f"{architecture}.{name}", U32, number)
    gguf.tensor("token_embd.weight", (hidden, 10))
    for block in range(blocks):
        gguf.tensor(f"blk.{block}.attn_q.weight", (hidden, hidden))
    return gguf.tensor("output_norm.weight", (hidden,)).tensor("output.weight", (hidden, 10))


@pytest.fixture(scope="session")
def kinds():
    """The numbers of the metadata types."""

    class Kinds:
        U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)

    return Kinds


@pytest.fixture(scope="session")
def new_gguf():
    return Gguf


@pytest.fixture(scope="session")
def new_llama():
    return llama


@pytest.fixture
def facts_of(tmp_path):
    """Reads the facts of files in the making."""

    def read(*ggufs):
        return read_gguf_files([gguf.write(tmp_path / f"m{n}.gguf") for n, gguf in enumerate(ggufs)])

    return read
