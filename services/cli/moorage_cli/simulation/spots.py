"""Parts of a request, by what the API and what the file call them."""

from dataclasses import dataclass

from moorage_cli.simulation.mistakes import Place


@dataclass(frozen=True, slots=True)
class Spot:
    """A part of a request."""

    path: str = ""
    """As violations name it."""
    label: str = ""
    """As the file names it."""

    def part(self, name: str, key: str) -> "Spot":
        """Returns a field."""
        return Spot(join(self.path, name), join(self.label, key))

    def item(self, index: int, position: int | None) -> "Spot":
        """Returns an item, by its place in the request and in the file; in the file it may stand without a list."""
        return Spot(f"{self.path}[{index}]", self.label if position is None else f"{self.label}[{position}]")


def labelled(place: Place, label: str) -> Place:
    """Returns a place with what stands there."""
    return Place(file=place.file, line=place.line, column=place.column, label=label)


def join(before: str, name: str) -> str:
    """Returns the path of a field in what has a path."""
    return f"{before}.{name}" if before and name else before or name
