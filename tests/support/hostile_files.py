"""Files that lie about themselves, driven through parsers as a hostile server could, and what that may cost."""

import tracemalloc
from contextlib import contextmanager

from hypothesis import strategies as st

MOST_REQUESTS = 1000
JSON_GROWTH = 40
"""How many times larger than its text JSON may become: an empty list of two characters takes 56 bytes."""
CHUNK_BYTES = 256 << 10

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**63])
    | st.floats()
    | st.sampled_from(
        ["", "llama", "BF16", "../x", "model.safetensors", "\ud800", "x" * 5000, "\0", "full_attention"]
    )
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)
"""Any JSON, most of it out of place."""


class HostileFile:
    """A file of any claimed size: what is there of it, then zeros, whatever is asked for. A `RangeReader`."""

    def __init__(self, name, data, size=None):
        self.name = name
        self.data = data
        self.size = len(data) if size is None else size
        self.requests = self.sent = 0

    def answer(self, need):
        """The bytes for one request, and some more."""
        self.requests += 1
        assert self.requests < MOST_REQUESTS
        assert need.offset >= 0
        assert 0 < need.length <= self.size - need.offset
        return self.send(need.offset, max(need.length, min(CHUNK_BYTES, self.size - need.offset)))

    def send(self, offset, length):
        chunk = self.data[offset : offset + length]
        self.sent += length
        return chunk + bytes(length - len(chunk))

    async def read(self, offset, length):
        self.requests += 1
        assert self.requests < MOST_REQUESTS
        assert 0 <= offset < offset + length <= self.size
        return self.send(offset, length)

    def drive(self, parser):
        """Answers a parser until it has a result."""
        try:
            need = next(parser)
            while True:
                need = parser.send(self.answer(need))
        except StopIteration as done:
            return done.value


@contextmanager
def memory_bound(limit):
    """Fails when more is allocated than the limit, which is asked for at the end."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= limit(), f"{peak:,} bytes were allocated, {limit():,} are allowed"


@st.composite
def damaged(draw, raw):
    """Bytes with some of them overwritten, taken out, doubled, or cut off."""
    data = bytearray(raw)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.sampled_from([1, 2, 4, 8, 40]))
        match draw(st.sampled_from(["patch", "patch", "patch", "drop", "double", "cut"])):
            case "patch":
                data[at : at + length] = draw(st.binary(min_size=length, max_size=length))
            case "drop":
                del data[at : at + length]
            case "double":
                data[at:at] = data[at : at + length]
            case "cut":
                del data[max(at, 8) :]
    return bytes(data)


@st.composite
def misfitting(draw, content):
    """A JSON value with some parts of it replaced by others, of any kind, or gone."""
    changed = content
    for _ in range(draw(st.integers(1, 4))):
        changed = _replaced(draw, changed)
    return changed


def _replaced(draw, value):
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(value)))
        if not draw(st.integers(0, 5)):
            return {name: entry for name, entry in value.items() if name != key}
        return {**value, key: _replaced(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 9)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], _replaced(draw, value[at]), *value[at + 1 :]]
    return draw(JSON_VALUES)
