"""The entries of a mapping: keys that are given twice, mappings that are merged in, keys that nobody knows."""

import difflib
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Mapping as MappingType
from dataclasses import dataclass

from moorage_cli.simulation.mistakes import Place
from moorage_cli.simulation.nodes import Mapping, Node, Scalar, Sequence

_MERGE = "<<"
_LISTED = 15
"""So many keys are listed where one is unknown and none is close."""

Note = Callable[[Place, str, str], None]
"""Takes in where a mistake is, at which key, and what is wrong."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A key with its value."""

    key: Scalar
    value: Node


def entries_of(node: Mapping, note: Note) -> dict[str, Entry]:
    """Returns the entries by their keys. What stands there itself goes before what is merged in by "<<"."""
    own: dict[str, Entry] = {}
    merged: dict[str, Entry] = {}
    for key, value in node.entries:
        if not isinstance(key, Scalar):
            note(key.place, "", "a key must be a word")
        elif key.plain and key.text == _MERGE:
            for each in _merged(value, note):
                merged = {**entries_of(each, note), **merged}
        elif key.text in own:
            note(key.place, key.text, f"is given already, in line {own[key.text].key.place.line}")
        else:
            own[key.text] = Entry(key, value)
    return {**merged, **own}


def _merged(node: Node, note: Note) -> Iterator[Mapping]:
    for each in node.items if isinstance(node, Sequence) else [node]:
        if isinstance(each, Mapping):
            yield each
        else:
            note(each.place, _MERGE, "takes a mapping, as in <<: *usual")


def unknown_key(key: str, keys: Iterable[str], other_names: MappingType[str, str]) -> str:
    """Returns what to say of a key that there is not.

    Args:
        key: The key.
        keys: Those that there are.
        other_names: Some of them by what the API calls them.
    """
    if key in other_names:
        return f"is called {other_names[key]} here"
    keys = list(keys)
    close = difflib.get_close_matches(key, keys, n=1)
    return f"is unknown; did you mean {close[0]}?" if close else f"is unknown; there is {listed(keys)}"


def listed(keys: Iterable[str]) -> str:
    """Returns keys for a sentence."""
    keys = list(keys)
    return ", ".join(keys[:_LISTED]) + (f" and {len(keys) - _LISTED} more" if len(keys) > _LISTED else "")
