"""Reads a tree of YAML into a message, field by field as the proto says; what is wrong is noted, and the rest read."""

from collections.abc import Callable, MutableMapping, MutableSequence
from functools import partial
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from moorage_cli.simulation.entries import Entry, entries_of, listed, unknown_key
from moorage_cli.simulation.fields import choice_of, choices_of, is_text, read_of
from moorage_cli.simulation.forms import Form, Read, form_of
from moorage_cli.simulation.mistakes import Mistakes, Place
from moorage_cli.simulation.nodes import Mapping, Node, Scalar, Sequence
from moorage_cli.simulation.scalars import integer
from moorage_cli.simulation.shorthand import MOST, times
from moorage_cli.simulation.source_map import SourceMap
from moorage_cli.simulation.spots import Spot, join, labelled
from moorage_common.core.errors import InvalidArgument

Message = Any
"""Any generated message: they have no common base that says which fields there are."""
ValueT = TypeVar("ValueT")

_COUNT = "count"
_SINGLE = "must be a single word or number"
_IGNORED = "x-"
"""What begins so is there for its anchors."""


class Reader:
    """Fills messages.

    Args:
        mistakes: Takes in what is wrong.
        places: Takes in what stands where.
    """

    def __init__(self, mistakes: Mistakes, places: SourceMap) -> None:
        self._mistakes = mistakes
        self._places = places

    def fill(self, message: Message, node: Node, spot: Spot) -> int | None:
        """Fills a message from a mapping, or from a word that stands for one.

        Returns:
            How many such there are to be. None: nothing is said of it.
        """
        form, descriptor = form_of(message.DESCRIPTOR), message.DESCRIPTOR
        if isinstance(node, Scalar) and form.short is not None:
            short = form.short
            count = self._try(node, spot, lambda: short(node.text, message))
            return None if count == 1 else count
        if not isinstance(node, Mapping):
            told = f"must be a mapping, of {listed(form.fields_by_key(descriptor))}"
            self._note(node.place, spot.label, told)
            return None
        entries = self._entries_of(node, spot)
        count_entry = entries.pop(_COUNT, None) if form.numbered else None
        self._entries(entries, message, spot, form)
        self._complete(node, message, spot, form)
        return None if count_entry is None else self._count(count_entry, spot)

    def add_items(self, into: Any, kind: Descriptor, node: Node, spot: Spot) -> None:  # noqa: ANN401
        """Adds messages of a kind to a list; one alone may stand without a list around it."""
        form = form_of(kind)
        if isinstance(node, Mapping) and form.table is not None:
            self._add_table(into, node, spot, form.table)
            return
        for position, item in enumerate(node.items if isinstance(node, Sequence) else [node]):
            at = spot.item(len(into), position if isinstance(node, Sequence) else None)
            self._locate(item, at)
            count = self.fill(into.add(), item, at)
            if count is not None and form.numbered is not None:
                self._multiply(into, item, at, count, form.numbered)

    def _entries_of(self, node: Mapping, spot: Spot) -> dict[str, Entry]:
        return entries_of(node, lambda place, key, told: self._note(place, join(spot.label, key), told))

    def _entries(self, entries: dict[str, Entry], message: Message, spot: Spot, form: Form) -> None:
        names = form.fields_by_key(message.DESCRIPTOR)
        chosen: dict[str, str] = {}
        for key, entry in entries.items():
            if key.startswith(_IGNORED):
                continue
            if key not in names:
                others = {name: key for key, name in names.items()}
                countable = [_COUNT] if form.numbered else []
                told = unknown_key(key, [*names, *countable], others)
                self._note(entry.key.place, join(spot.label, key), told)
                continue
            field = message.DESCRIPTOR.fields_by_name[names[key]]
            first = chosen.setdefault(choice_of(field) or key, key)
            if first != key:
                self._note(entry.key.place, join(spot.label, key), f"cannot be given beside {first}")
            else:
                self._field(field, message, entry.value, spot.part(field.name, key), form)

    def _field(self, field: FieldDescriptor, message: Message, node: Node, spot: Spot, form: Form) -> None:
        kind, value, first = field.message_type, getattr(message, field.name), self._places.get(spot.path)
        if isinstance(node, Scalar) and node.is_nothing:
            self._note(node.place, spot.label, "has no value: give one, or leave it out")
        elif kind is not None and kind.GetOptions().map_entry:
            self._add_pairs(value, node, spot, read_of(kind.fields_by_name["value"], Form()))
        elif kind is not None and field.is_repeated:
            self.add_items(value, kind, node, spot)
        elif field.is_repeated:
            read = read_of(field, form)
            self._add_values(value, node, spot, _read_one(read) if is_text(field) else _read_several(read))
        elif first is not None:
            self._note(node.place, spot.label, f"is given already, in {first}")
        elif kind is not None:
            self._locate(node, spot)
            value.SetInParent()
            self.fill(value, node, spot)
        else:
            self._locate(node, spot)
            read = read_of(field, form)
            self._scalar(node, spot, lambda text: setattr(message, field.name, read(text)))

    def _add_pairs(self, into: MutableMapping[str, object], node: Node, spot: Spot, read: Read) -> None:
        if not isinstance(node, Mapping):
            self._note(node.place, spot.label, "must be a mapping, as in {zone: a}")
            return
        for key, entry in self._entries_of(node, spot).items():
            at = Spot(f'{spot.path}["{key}"]', join(spot.label, key))
            self._locate(entry.value, at)
            value = self._scalar(entry.value, at, read)
            if value is not None:
                into[key] = value

    def _add_values(
        self, into: MutableSequence[object], node: Node, spot: Spot, read: Callable[[str], list[object]]
    ) -> None:
        for position, item in enumerate(node.items if isinstance(node, Sequence) else [node]):
            at = spot.item(len(into), position if isinstance(node, Sequence) else None)
            for value in self._scalar(item, at, read) or ():
                self._locate(item, Spot(f"{spot.path}[{len(into)}]", at.label))
                self._try(item, at, partial(into.append, value))

    def _add_table(self, into: Any, node: Mapping, spot: Spot, read: Callable[[str, str, Any], None]) -> None:  # noqa: ANN401
        for key, entry in self._entries_of(node, spot).items():
            at = Spot(f"{spot.path}[{len(into)}]", join(spot.label, key))
            self._locate(entry.value, at)
            added = into.add()
            if isinstance(entry.value, Scalar):
                self._try(entry.value, at, partial(read, key, entry.value.text, added))
            else:
                self._note(entry.value.place, at.label, _SINGLE)

    def _multiply(
        self, into: Message, node: Node, spot: Spot, count: int, numbered: Callable[[Any, int], None]
    ) -> None:
        """Adds what is written once as often as it is to be there."""
        list_path, _, first = spot.path.removesuffix("]").rpartition("[")
        for position in range(1, count):
            self._places.note_copy(f"{list_path}[{int(first) + position}]", spot.path)
            into.add().CopyFrom(into[int(first)])
        copies = [into[int(first) + position] for position in range(count)]

        def number_all() -> None:
            for position, each in enumerate(copies):
                numbered(each, position)

        self._try(node, spot, number_all)

    def _count(self, entry: Entry, spot: Spot) -> int | None:
        def read(text: str) -> int:
            found = integer(text)
            if not 1 <= found <= MOST:
                raise ValueError(f"must be 1 to {MOST:,}")
            return found

        return self._scalar(entry.value, spot.part(_COUNT, _COUNT), read)

    def _complete(self, node: Node, message: Message, spot: Spot, form: Form) -> None:
        """Fills in what follows from the rest, and notes what is missing."""
        if form.finish is not None:
            finish = form.finish
            self._try(node, spot, lambda: finish(message))
        # What is there and wrong is not missing.
        given = self._mistakes.keys_below(spot.label)
        for name in form.needed:
            key = form.key_of(name)
            if not getattr(message, name) and key not in given:
                self._note(node.place, join(spot.label, key), "is missing")
        choices = choices_of(message.DESCRIPTOR, form)
        if choices and not message.WhichOneof(form.one_of) and not given.intersection(choices):
            self._note(node.place, spot.label, f"must have one of {listed(choices)}")

    def _scalar(self, node: Node, spot: Spot, use: Callable[[str], ValueT]) -> ValueT | None:
        if isinstance(node, Scalar):
            return self._try(node, spot, lambda: use(node.text))
        self._note(node.place, spot.label, _SINGLE)
        return None

    def _try(self, node: Node, spot: Spot, call: Callable[[], ValueT]) -> ValueT | None:
        try:
            return call()
        except InvalidArgument as error:
            told = "; ".join(violation.description for violation in error.violations)
            self._note(node.place, spot.label, told or error.message)
        except (ValueError, OverflowError) as error:
            self._note(node.place, spot.label, str(error))
        return None

    def _locate(self, node: Node, spot: Spot) -> None:
        self._places.note(spot.path, labelled(node.place, spot.label))

    def _note(self, place: Place, label: str, told: str) -> None:
        self._mistakes.add(labelled(place, label), told)


def _read_one(read: Read) -> Callable[[str], list[object]]:
    return lambda text: [read(text)]


def _read_several(read: Read) -> Callable[[str], list[object]]:
    """Reads "61 x 3GB", which stands for so many numbers."""

    def read_all(text: str) -> list[object]:
        count, what = times(text)
        return [read(what)] * count

    return read_all
