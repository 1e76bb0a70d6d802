"""A buffer whose pieces are handed out and taken back, so that one piece of memory serves many tensors in turn."""

_ALIGNMENT = 64


class Arena:
    """Gives each piece the smallest hole that it fits, and grows at its end when it fits none."""

    def __init__(self) -> None:
        self.peak = 0
        """How far it has grown, in bytes."""
        self._holes: list[tuple[int, int]] = []
        """Start and end of what is free before the end, in order."""
        self._end = 0

    def take(self, size: int) -> int:
        """Returns where a piece of this size begins."""
        size = _aligned(size)
        best = min(
            (hole for hole in self._holes if hole[1] - hole[0] >= size),
            key=lambda hole: (hole[1] - hole[0], -hole[0]),
            default=None,
        )
        if best is None:
            start = self._end
            self._end += size
            self.peak = max(self.peak, self._end)
            return start
        position = self._holes.index(best)
        start, end = best
        self._holes[position : position + 1] = [(start + size, end)] if start + size < end else []
        return start

    def give(self, start: int, size: int) -> None:
        """Takes a piece back; it becomes one with the holes beside it."""
        end = start + _aligned(size)
        if end == start:
            return
        position = 0
        while position < len(self._holes) and self._holes[position][0] < start:
            position += 1
        if position and self._holes[position - 1][1] == start:
            position -= 1
            start = self._holes.pop(position)[0]
        if position < len(self._holes) and self._holes[position][0] == end:
            end = self._holes.pop(position)[1]
        if end == self._end:
            self._end = start
        else:
            self._holes.insert(position, (start, end))


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
