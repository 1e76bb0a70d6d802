"""Resource names: ``models/llama3``, ``models/llama3/instances/a1b2`` and the like.

A name is the collections and ids on the way to a resource, as in Google's AIP-122. An id is 1 to 63 of
``a-z 0-9 . -`` that begins and ends with a letter or digit: ``llama-3.2``, ``gpu-07``.
"""

import re
from dataclasses import dataclass

from moorage_common.core.errors import FieldViolation, InvalidArgument

ID_PATTERN = "[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?"
"""What an id matches, whole. The protos' validation rules say the same."""

_ID = re.compile(ID_PATTERN)


@dataclass(frozen=True, slots=True)
class NamePattern:
    """The names of one kind of resource."""

    collections: tuple[str, ...]
    """The collections on the way, outermost first, e.g. ``("models", "instances")``."""

    def format(self, *ids: str) -> str:
        """Builds a name from its ids, outermost first.

        Raises:
            InvalidArgument: An id is not one.
        """
        parts: list[str] = []
        for collection, value in zip(self.collections, ids, strict=True):
            parts += [collection, check_id(value)]
        return "/".join(parts)

    def parse(self, name: str, *, field: str = "name") -> tuple[str, ...]:
        """Returns the ids in a name, outermost first.

        Args:
            name: The name to read.
            field: The request's field that it came in, for the error.

        Raises:
            InvalidArgument: The name is not one of this kind.
        """
        parts = name.split("/")
        ids = tuple(parts[1::2])
        if tuple(parts[::2]) != self.collections or len(ids) != len(self.collections):
            raise _invalid(field, name, f"must look like {self}")
        for value in ids:
            check_id(value, field=field)
        return ids

    def matches(self, name: str) -> bool:
        """Whether the name is one of this kind."""
        try:
            self.parse(name)
        except InvalidArgument:
            return False
        return True

    def __str__(self) -> str:
        return "/".join(f"{collection}/{{{collection.removesuffix('s')}}}" for collection in self.collections)


MODEL = NamePattern(("models",))
WORKER = NamePattern(("workers",))
INSTANCE = NamePattern(("models", "instances"))
ARTIFACT = NamePattern(("artifacts",))
ARTIFACT_COPY = NamePattern(("artifacts", "copies"))
"""The second id is the worker's."""
DOWNLOAD = NamePattern(("downloads",))
AUDIT_RECORD = NamePattern(("auditRecords",))
"""The id is a number."""


def check_id(value: str, *, field: str = "id") -> str:
    """Returns the id unchanged.

    Raises:
        InvalidArgument: It is not an id.
    """
    if _ID.fullmatch(value) is None:
        raise _invalid(
            field,
            value,
            "an id is 1 to 63 of a-z, 0-9, dots and hyphens, and begins and ends with a letter or digit",
        )
    return value


def model_name(model: str) -> str:
    """``models/{model}``."""
    return MODEL.format(model)


def worker_name(worker: str) -> str:
    """``workers/{worker}``."""
    return WORKER.format(worker)


def instance_name(model: str, instance: str) -> str:
    """``models/{model}/instances/{instance}``."""
    return INSTANCE.format(model, instance)


def artifact_name(artifact: str) -> str:
    """``artifacts/{artifact}``."""
    return ARTIFACT.format(artifact)


def artifact_copy_name(artifact: str, worker: str) -> str:
    """``artifacts/{artifact}/copies/{worker}``."""
    return ARTIFACT_COPY.format(artifact, worker)


def download_name(download: str) -> str:
    """``downloads/{download}``."""
    return DOWNLOAD.format(download)


def audit_record_name(record: int) -> str:
    """``auditRecords/{record}``."""
    return AUDIT_RECORD.format(str(record))


def parse_model(name: str, *, field: str = "name") -> str:
    """The id in ``models/{model}``. Raises `InvalidArgument`, as do the other parsers."""
    return MODEL.parse(name, field=field)[0]


def parse_worker(name: str, *, field: str = "name") -> str:
    """The id in ``workers/{worker}``."""
    return WORKER.parse(name, field=field)[0]


def parse_instance(name: str, *, field: str = "name") -> tuple[str, str]:
    """The model's and the instance's id in ``models/{model}/instances/{instance}``."""
    model, instance = INSTANCE.parse(name, field=field)
    return model, instance


def parse_artifact(name: str, *, field: str = "name") -> str:
    """The id in ``artifacts/{artifact}``."""
    return ARTIFACT.parse(name, field=field)[0]


def parse_artifact_copy(name: str, *, field: str = "name") -> tuple[str, str]:
    """The artifact's and the worker's id in ``artifacts/{artifact}/copies/{worker}``."""
    artifact, worker = ARTIFACT_COPY.parse(name, field=field)
    return artifact, worker


def parse_download(name: str, *, field: str = "name") -> str:
    """The id in ``downloads/{download}``."""
    return DOWNLOAD.parse(name, field=field)[0]


def _invalid(field: str, value: str, rule: str) -> InvalidArgument:
    # A value of any length may come from outside; the error need not repeat all of it.
    shown = value if len(value) <= 80 else f"{value[:80]}…"
    return InvalidArgument(
        f"{field} is invalid: {shown!r}: {rule}", violations=[FieldViolation(field=field, description=rule)]
    )
