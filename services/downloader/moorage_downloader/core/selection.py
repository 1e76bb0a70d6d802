"""Which of a repository's files make up the one model that a source names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from moorage_common.core.errors import ErrorReason, NotFound
from moorage_common.modelfiles.shards import parse_shard_name, shard_paths
from moorage_downloader.core.source_ref import HubRef, invalid_source

_SHOWN_CHOICES = 20
_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Selection:
    """The files of one model."""

    paths: tuple[str, ...]
    """In order of the shards."""

    @property
    def entry_point(self) -> str:
        """The file that an engine is told to load."""
        return self.paths[0]


def select_model(ref: HubRef, paths: Iterable[str]) -> Selection:
    """Chooses among the files of a repository.

    A path names its file, and any shard of a model names all of them. A glob, or nothing at all, must leave
    exactly one model.

    Raises:
        NotFound: SOURCE_NOT_FOUND: there is no such file, or a shard is missing.
        InvalidArgument: SOURCE_INVALID: the file is no GGUF, or there are several models; the choices are listed.
    """
    available = frozenset(paths)
    if ref.path in available:
        if not ref.path.endswith(".gguf"):
            raise invalid_source(str(ref), f"{ref.path} is not a GGUF file")
        return _complete(ref, shard_paths(ref.path), available)
    if ref.path and not _WILDCARDS & set(ref.path):
        raise not_found(str(ref), f"the repository has no file {ref.path!r}")
    models = _models(path for path in available if not ref.path or fnmatchcase(path, ref.path))
    if not models:
        raise not_found(str(ref), "no GGUF file there" + (f" matches {ref.path!r}" if ref.path else ""))
    if len(models) > 1:
        raise invalid_source(str(ref), f"several models are there; name one of: {_listed(models)}")
    return _complete(ref, next(iter(models.values())), available)


def not_found(source: str, problem: str) -> NotFound:
    """The error for a source, or a file of it, that does not exist."""
    return NotFound(
        f"source {source[:200]!r} not found: {problem}",
        reason=ErrorReason.SOURCE_NOT_FOUND,
        metadata={"source": source[:200]},
    )


def _models(paths: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The models among some files, each under the name of its first file."""
    models: dict[str, tuple[str, ...]] = {}
    for path in sorted(paths):
        if not path.endswith(".gguf") or _is_projector(path):
            continue
        shard = parse_shard_name(path)
        files = shard_paths(path) if shard else (path,)
        models.setdefault(files[0], files)
    return models


def _is_projector(path: str) -> bool:
    """Whether it is the part of a multimodal model that only goes with another file."""
    return path.rpartition("/")[2].lower().startswith("mmproj")


def _complete(ref: HubRef, paths: tuple[str, ...], available: frozenset[str]) -> Selection:
    missing = [path for path in paths if path not in available]
    if missing:
        raise not_found(str(ref), f"of {len(paths)} shards, {missing[0]!r} is missing")
    return Selection(paths)


def _listed(models: Mapping[str, tuple[str, ...]]) -> str:
    shown = list(models)[:_SHOWN_CHOICES]
    more = len(models) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
