"""YAML as a tree whose every node knows where it stands.

It knows nothing of types: what a word means is decided by the field that it is for; a version of 1.10 stays one.
It is made of the parser's events and not by its own composer: that one calls itself for every level, and a file of
brackets alone would end the process.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from moorage_cli.simulation.mistakes import Mistakes, Place

_DEEPEST = 50
_LARGEST = 20_000_000
"""So many nodes with everything that anchors repeat: a line of references to references can stand for more than any
memory holds."""
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Ten times as fast where PyYAML was built with it."""
_NOTHING = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(slots=True)
class Scalar:
    """A word, a number, a text: as it is written."""

    place: Place
    text: str
    plain: bool
    """Whether it stands without quotes."""

    @property
    def size(self) -> int:
        """How many nodes it stands for."""
        return 1

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is written there."""
        return self.plain and self.text in _NOTHING


@dataclass(slots=True)
class Sequence:
    """A list."""

    place: Place
    items: list["Node"] = field(default_factory=list)
    size: int = 1


@dataclass(slots=True)
class Mapping:
    """Values by keys, in their order; a key may stand there twice."""

    place: Place
    entries: list[tuple["Node", "Node"]] = field(default_factory=list)
    size: int = 1
    key: "Node | None" = None
    """While it is read: the key that waits for its value."""


Node = Scalar | Sequence | Mapping


def parse(text: str | bytes, file: str, mistakes: Mistakes) -> list[Node]:
    """Returns the documents of a file; what is no YAML is a mistake, and ends them."""
    try:
        return list(_Composer(file).documents(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        context = f", {error.context}" if error.context else ""
        place = Place(file=file, line=mark.line + 1 if mark else 1, column=mark.column + 1 if mark else 1)
        mistakes.add(place, f"not YAML: {error.problem}{context}")
    except yaml.reader.ReaderError as error:
        mistakes.add(_place_of_byte(text, error.position, file), f"not YAML: {error.reason}")
    except _Refused as error:
        mistakes.add(error.place, str(error))
    return []


class _Refused(Exception):
    """YAML, but not as anybody should write it."""

    def __init__(self, place: Place, told: str) -> None:
        super().__init__(told)
        self.place = place


class _Composer:
    def __init__(self, file: str) -> None:
        self._file = file
        self._anchors: dict[str, Node] = {}
        self._open: list[Sequence | Mapping] = []

    def documents(self, text: str | bytes) -> Iterator[Node]:
        """The documents that are not empty."""
        for event in yaml.parse(text, Loader=_LOADER):
            node = self._take(event)
            if node is not None and self._open:
                _attach(self._open[-1], node)
            elif node is not None and not (isinstance(node, Scalar) and node.is_nothing):
                yield node

    def _take(self, event: Any) -> Node | None:  # noqa: ANN401 - events have no typed common base
        """Returns the node that an event completes. None: it completes none."""
        match event:
            case yaml.DocumentStartEvent():
                self._anchors.clear()
            case yaml.ScalarEvent():
                return self._anchor(event, Scalar(self._place(event), event.value, event.implicit[0]))
            case yaml.SequenceStartEvent():
                self._start(event, Sequence(self._place(event)))
            case yaml.MappingStartEvent():
                self._start(event, Mapping(self._place(event)))
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                return self._open.pop()
            case yaml.AliasEvent():
                return self._anchored(event)
        return None

    def _start(self, event: Any, node: Sequence | Mapping) -> None:  # noqa: ANN401
        if len(self._open) == _DEEPEST:
            raise _Refused(node.place, f"nested deeper than {_DEEPEST} levels")
        self._open.append(node)
        self._anchor(event, node)

    def _anchor(self, event: Any, node: Node) -> Node:  # noqa: ANN401
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _anchored(self, event: Any) -> Node:  # noqa: ANN401
        node = self._anchors.get(event.anchor)
        if node is None:
            known = ", ".join(f"&{name}" for name in self._anchors) or "none"
            raise _Refused(self._place(event), f"there is no &{event.anchor} before this; there is {known}")
        if any(node is each for each in self._open):
            raise _Refused(self._place(event), f"*{event.anchor} stands within what it stands for")
        return node

    def _place(self, event: Any) -> Place:  # noqa: ANN401
        return Place(file=self._file, line=event.start_mark.line + 1, column=event.start_mark.column + 1)


def _attach(parent: Sequence | Mapping, node: Node) -> None:
    parent.size += node.size
    if parent.size > _LARGEST:
        raise _Refused(node.place, f"with all that is repeated there are more than {_LARGEST:,} entries")
    if isinstance(parent, Sequence):
        parent.items.append(node)
    elif parent.key is None:
        parent.key = node
    else:
        parent.entries.append((parent.key, node))
        parent.key = None


def _place_of_byte(text: str | bytes, position: int, file: str) -> Place:
    before = text[:position]
    lines = before.split(b"\n") if isinstance(before, bytes) else before.split("\n")
    return Place(file=file, line=len(lines), column=len(lines[-1]) + 1)
