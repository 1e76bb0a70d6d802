"""A compute graph as far as memory is concerned: which tensor is made of which, and so how long each must live.

Tensors are made of others in any order; `Graph.run` decides, as llama.cpp does, that one and all that it is made of are
computed next. `buffer_sizes` then does what llama.cpp does when it reserves its buffers: it goes through them, gives
each a piece of its device's buffer, in place of one that it replaces where the operation allows that, and takes a
piece back after its last reader. A tensor that is read on another device has a copy there, made at the start of the
stretch of operations that reads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from moorage_scheduler.estimators.arena import Arena


class Device(IntEnum):
    """Where something is computed."""

    HOST = 0
    GPU = 1


@dataclass(slots=True, eq=False)
class Tensor:
    """One tensor. What is not `stored` lives elsewhere: weights, the cache, or another tensor that it is a view of."""

    size: int
    device: Device
    sources: tuple["Tensor", ...] = ()
    viewed: "Tensor | None" = None
    stored: bool = True
    replaces: bool = False
    """Whether it may take the place of a source that nothing else reads."""
    kept: bool = False
    """Whether it lives until the end."""
    is_input: bool = False
    listed: bool = False
    readers: int = 0
    views: int = 0
    owns: bool = False
    start: int = 0


@dataclass(slots=True)
class Graph:
    """A graph in the making."""

    device: Device = Device.HOST
    """Where what is made from now on is computed."""
    inputs: list[Tensor] = field(default_factory=list)
    """In the order in which they are read first."""
    operations: list[Tensor] = field(default_factory=list)
    _named: dict[str, Tensor] = field(default_factory=dict)

    def input(self, name: str, size: int) -> Tensor:
        """Returns what is given to the graph from outside, in RAM; the same one for the same name."""
        return self._named.setdefault(name, Tensor(size, Device.HOST, is_input=True))

    def compute(self, size: int, *sources: Tensor, replaces: bool = False, kept: bool = False) -> Tensor:
        """Returns a tensor of a size that is computed from others."""
        return Tensor(size, self.device, sources, replaces=replaces, kept=kept)

    def revise(self, tensor: Tensor, *others: Tensor) -> Tensor:
        """Returns a tensor's successor of the same size, which takes its place if nothing else reads it."""
        return self.compute(tensor.size, tensor, *others, replaces=True)

    def view(self, source: Tensor, size: int | None = None) -> Tensor:
        """Returns another way to look at a tensor, or at a part of it."""
        sized = source.size if size is None else size
        return Tensor(sized, source.device, (source,), viewed=source.viewed or source, stored=False)

    def store(self, *sources: Tensor) -> None:
        """Runs an operation whose result goes into memory that is held anyway, as keys into the cache."""
        self.run(Tensor(0, self.device, sources, stored=False))

    def run(self, tensor: Tensor) -> None:
        """Computes a tensor next, after all that it is made of."""
        if tensor.listed:
            return
        tensor.listed = True
        for source in tensor.sources:
            self.run(source)
        (self.inputs if tensor.is_input else self.operations).append(tensor)


def buffer_sizes(graph: Graph) -> Mapping[Device, int]:
    """Returns the bytes of each device's buffer. The graph cannot be used again."""
    arenas = {device: Arena() for device in Device}
    operations = _with_copies(graph.operations)
    for tensor in graph.inputs:
        _place(tensor, arenas)
    for tensor in operations:
        if tensor.viewed is not None:
            tensor.viewed.views += 1
        for source in tensor.sources:
            source.readers += 1
    for tensor in operations:
        _place(tensor, arenas)
        for source in tensor.sources:
            _read(source, arenas)
    return {device: arena.peak for device, arena in arenas.items()}


def _place(tensor: Tensor, arenas: Mapping[Device, Arena]) -> None:
    if not tensor.stored:
        return
    tensor.owns = True
    if tensor.replaces:
        for source in tensor.sources:
            alone = source.owns and source.readers == 1 and not source.views and not source.kept
            if alone and source.size == tensor.size:
                source.owns = False
                tensor.start = source.start
                return
    tensor.start = arenas[tensor.device].take(tensor.size)


def _read(source: Tensor, arenas: Mapping[Device, Arena]) -> None:
    source.readers -= 1
    if source.readers or source.views:
        return
    place = source
    if source.viewed is not None:
        place = source.viewed
        place.views -= 1
        if place.views or place.readers:
            return
    if place.owns and not place.kept:
        place.owns = False
        arenas[place.device].give(place.start, place.size)


def _with_copies(operations: list[Tensor]) -> list[Tensor]:
    """The operations with copies of what comes from another device, at the start of each stretch on one device."""
    result: list[Tensor] = []
    copies: dict[tuple[int, Device], Tensor] = {}
    start, device = 0, None
    for tensor in operations:
        if tensor.viewed is not None:
            result.append(tensor)
            continue
        if tensor.device is not device:
            start, device = len(result), tensor.device
        sources = []
        for source in tensor.sources:
            if source.device is device:
                sources.append(source)
                continue
            key = (id(source), tensor.device)
            if key not in copies:
                copies[key] = Tensor(source.size, tensor.device, (source,))
                result.insert(start, copies[key])
                start += 1
            sources.append(copies[key])
        tensor.sources = tuple(sources)
        result.append(tensor)
    return result
