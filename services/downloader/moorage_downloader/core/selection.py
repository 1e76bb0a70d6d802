"""Which of a repository's or a folder's files make up the one model that a source names."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from moorage_common.core.errors import ErrorReason, NotFound
from moorage_common.modelfiles.config_keys import CONFIG_NAME
from moorage_common.modelfiles.safetensors_files import companions, is_model_folder, weight_candidates
from moorage_common.modelfiles.shards import parse_shard_name, shard_paths
from moorage_downloader.core.source_ref import invalid_source

_SHOWN_CHOICES = 20
_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Selection:
    """The files of one model: GGUF in order of the shards, or config.json and all that goes with it."""

    paths: tuple[str, ...]

    @property
    def entry_point(self) -> str:
        """The file that an engine is told to load; of a model in safetensors it is told the folder of this one."""
        return self.paths[0]


def select_model(paths: Iterable[str], *, wanted: str, source: str) -> Selection:
    """Chooses among files.

    A file names its model: any shard, or config.json. A folder, a glob, or nothing at all must leave exactly one.
    Of a model in safetensors everything is chosen that could hold weights; its index tells which do.

    Args:
        paths: Those that there are.
        wanted: The path, folder or glob. Empty: the only model.
        source: What the whole is called in errors.

    Raises:
        NotFound: SOURCE_NOT_FOUND: there is no such file, or a shard is missing.
        InvalidArgument: SOURCE_INVALID: the file is of no model, or there are several; the choices are listed.
    """
    available = frozenset(paths)
    entry_points = _entry_points(available)
    if wanted in available:
        if wanted not in entry_points:
            raise invalid_source(source, f"{wanted} is neither a GGUF file nor of a model in safetensors")
        return _complete(entry_points[wanted], wanted, available, source)
    is_glob = bool(_WILDCARDS & set(wanted))
    if wanted and not is_glob and not any(path.startswith(f"{wanted}/") for path in available):
        raise not_found(source, f"there is no {wanted!r}")
    pattern = wanted if is_glob else f"{wanted}/*" if wanted else "*"
    found = _outermost(
        {
            entry
            for path, entry in entry_points.items()
            if fnmatchcase(path, pattern) and not _is_projector(path)
        }
    )
    if not found:
        where = f" matches {wanted!r}" if wanted else ""
        raise not_found(source, f"no GGUF file and no config.json with safetensors there{where}")
    if len(found) > 1:
        raise invalid_source(source, f"several models are there; name one of: {_listed(found)}")
    return _complete(found[0], found[0], available, source)


def not_found(source: str, problem: str) -> NotFound:
    """The error for a source, or a file of it, that does not exist."""
    return NotFound(
        f"source {source[:200]!r} not found: {problem}",
        reason=ErrorReason.SOURCE_NOT_FOUND,
        metadata={"source": source[:200]},
    )


def _entry_points(available: Iterable[str]) -> dict[str, str]:
    """The entry point of its model, by each path that names one."""
    entries: dict[str, str] = {}
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for path in available:
        if path.endswith(".gguf"):
            shard = parse_shard_name(path)
            entries[path] = shard.sibling(1) if shard else path
        else:
            folder, slash, name = path.rpartition("/")
            folders[folder + slash].append(name)
    for folder, names in folders.items():
        if is_model_folder(names):
            entry = folder + CONFIG_NAME
            entries.update(
                dict.fromkeys([entry, *(folder + name for name in weight_candidates(names))], entry)
            )
    return entries


def _outermost(entries: AbstractSet[str]) -> list[str]:
    """Leaves out models in folders of other models: parts of these, or the same in another form."""
    folders = {entry.removesuffix(CONFIG_NAME) for entry in entries if not entry.endswith(".gguf")}

    def is_inner(entry: str) -> bool:
        above = PurePosixPath(entry).parent.parents if "/" in entry else ()
        return any(("" if str(folder) == "." else f"{folder}/") in folders for folder in above)

    return sorted(entry for entry in entries if entry.endswith(".gguf") or not is_inner(entry))


def _is_projector(path: str) -> bool:
    """Whether it is the part of a multimodal model that only goes with another file."""
    return path.rpartition("/")[2].lower().startswith("mmproj")


def _complete(entry: str, named: str, available: frozenset[str], source: str) -> Selection:
    """The whole model, given its entry point and the path that named it."""
    if not entry.endswith(".gguf"):
        return _safetensors_model(entry.removesuffix(CONFIG_NAME), available)
    paths = shard_paths(named)
    missing = [path for path in paths if path not in available]
    if missing:
        raise not_found(source, f"of {len(paths)} shards, {missing[0]!r} is missing")
    return Selection(paths)


def _safetensors_model(folder: str, available: Iterable[str]) -> Selection:
    names = [path.removeprefix(folder) for path in available if path.startswith(folder)]
    others = sorted((weight_candidates(names) | companions(names)) - {CONFIG_NAME})
    return Selection(tuple(folder + name for name in (CONFIG_NAME, *others)))


def _listed(entries: Sequence[str]) -> str:
    more = len(entries) - _SHOWN_CHOICES
    return ", ".join(entries[:_SHOWN_CHOICES]) + (f" and {more} more" if more > 0 else "")
