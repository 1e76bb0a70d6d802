"""What a command has found, before anybody decides how it is printed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from moorage_cli.views.page import Page


class Output(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


class Named(Protocol):
    """A resource."""

    @property
    def name(self) -> str:
        """Its full name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a command has found, for people and for programs."""

    data: Mapping[str, object]
    """Messages, or lists of them, by the word that stands for them in JSON and YAML."""
    names: Sequence[str] = ()
    """Full names of the resources in it."""
    page: Page = ()
    """For people. Empty: nothing is there, or all has been told by milestones."""
    nothing: str = ""
    """What to tell people when the page is empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One of a stream of results."""

    data: object
    """A message, or a mapping of them."""
    name: str
    """Full name of the resource that it is about."""
    page: Page = field(default=())
    """For people."""


def names_of(resources: Iterable[Named]) -> list[str]:
    """Returns the full names of resources."""
    return [resource.name for resource in resources]
