"""Names as people type them: "tiny" for "models/tiny", "tiny/a1b2" for its instance."""

import re
from collections.abc import Iterable

from moorage_common.core.errors import InvalidArgument
from moorage_common.core.names import (
    ARTIFACT,
    ARTIFACT_COPY,
    DOWNLOAD,
    INSTANCE,
    MODEL,
    WORKER,
    instance_name,
    model_name,
    worker_name,
)

_LONGEST_ID = 63
_PATTERNS = (WORKER, MODEL, INSTANCE, ARTIFACT, ARTIFACT_COPY, DOWNLOAD)


def model_of(text: str) -> str:
    """Returns "models/{model}" for a model's name or id. Raises `InvalidArgument`."""
    return text if MODEL.matches(text) else model_name(text)


def worker_of(text: str) -> str:
    """Returns "workers/{worker}" for a worker's name or id. Raises `InvalidArgument`."""
    return text if WORKER.matches(text) else worker_name(text)


def workers_of(texts: Iterable[str]) -> list[str]:
    """Returns the names in texts with one or more workers each, "a,b", every one once. Raises `InvalidArgument`."""
    parts = [part.strip() for text in texts for part in text.split(",")]
    return list(dict.fromkeys(worker_of(part) for part in parts))


def instance_of(text: str) -> str | None:
    """Returns "models/{model}/instances/{instance}" for an instance's name or "model/instance".

    None: the text does not look like an instance; it may be a model.

    Raises:
        InvalidArgument: It looks like one, and is none.
    """
    if INSTANCE.matches(text):
        return text
    if MODEL.matches(text) or "/" not in text:
        return None
    model, _, instance = text.partition("/")
    return instance_name(model, instance)


def resource_of(text: str) -> str:
    """Returns a full name for one, for "model/instance", or for the id of a model. Raises `InvalidArgument`."""
    if any(pattern.matches(text) for pattern in _PATTERNS):
        return text
    return instance_of(text) or model_of(text)


def watched_names(texts: Iterable[str]) -> list[str]:
    """Returns the names to watch for what people name: with a model, also its instances. Raises `InvalidArgument`."""
    names: list[str] = []
    for text in texts:
        name = resource_of(text)
        names += [name, f"{name}/instances/-"] if MODEL.matches(name) else [name]
    return list(dict.fromkeys(names))


def model_id_from_source(source: str) -> str:
    """Returns an id for a model that was given none: "hf:org/Tiny-GGUF@main/q4.gguf" is "tiny-gguf".

    Raises:
        InvalidArgument: Nothing in the source can be an id.
    """
    scheme, _, rest = source.partition(":")
    path = rest.split("@", 1)[0].rstrip("/")
    if scheme == "hf":
        parts = path.split("/")
        chosen = parts[1] if len(parts) > 1 else parts[0]
    else:
        chosen = path.split("?", 1)[0].rsplit("/", 1)[-1]
    stem = re.sub(r"\.gguf$", "", chosen.lower())
    made = re.sub(r"[^a-z0-9.]+", "-", stem)[:_LONGEST_ID].strip("-.")
    if not made:
        raise InvalidArgument(f"no name can be made of {source!r}", remedy="Give one with --name.")
    return made
