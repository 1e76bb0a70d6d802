"""Which of a folder's files are a model in safetensors, going by their names."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from moorage_common.modelfiles.config_keys import CONFIG_NAME
from moorage_common.modelfiles.safetensors_header import invalid

_SUFFIX = ".safetensors"
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{1,6})-of-(?P<count>\d{1,6})\.safetensors", re.DOTALL)
_WHOLE = "model.safetensors"
_OTHER_INDEX = re.compile(r"(?!model\.safetensors\.).*\.index\.json", re.DOTALL)
_COMPANION = re.compile(r".*\.(json|jinja|model|py|spm|tiktoken|txt|vocab)", re.DOTALL)
"""What engines read beside the weights: configuration, tokenizers, templates, code of the model's own."""
_MODULE = re.compile(r"(\d{1,3}_[A-Za-z]+|additional_chat_templates)/[^/]+", re.DOTALL)
"""Files of folders that belong to the model: modules of sentence-transformers, more templates."""


def weight_candidates(names: Iterable[str]) -> frozenset[str]:
    """Returns which files could hold a model's weights, given all paths in its folder."""
    return frozenset(
        name
        for name in names
        if name.endswith(_SUFFIX) and "/" not in name and not name.startswith("adapter_")
    )


def is_model_folder(names: Iterable[str]) -> bool:
    """Whether there is a model in a folder, given all paths in it."""
    names = frozenset(names)
    return CONFIG_NAME in names and bool(weight_candidates(names))


def companions(names: Iterable[str]) -> frozenset[str]:
    """Returns what belongs to a model beside its weights, given all paths in its folder."""
    return frozenset(
        name
        for name in names
        if _MODULE.fullmatch(name)
        or ("/" not in name and _COMPANION.fullmatch(name) and not _OTHER_INDEX.fullmatch(name))
    )


def choose_weights(names: Iterable[str], index: Mapping[str, str] | None) -> tuple[str, ...]:
    """Returns the files that hold a model's weights, in order.

    Args:
        names: All paths in its folder.
        index: The file of each tensor; None: the folder has no index.

    Raises:
        FailedPrecondition: MODEL_FILE_INVALID: shards are missing, or are of different sets.
    """
    if index is not None:
        return tuple(sorted(set(index.values())))
    candidates = weight_candidates(names)
    if _WHOLE in candidates:
        return (_WHOLE,)
    if shards := _sharded(candidates):
        return shards
    # Some put the same weights there again, as another library wants them.
    own = sorted(name for name in candidates if not name.startswith("consolidated"))
    return tuple(own or sorted(candidates))


def _sharded(candidates: Iterable[str]) -> tuple[str, ...]:
    sets: defaultdict[tuple[str, int], dict[int, str]] = defaultdict(dict)
    for name in sorted(candidates):
        if match := _SHARD.fullmatch(name):
            sets[match["stem"], int(match["count"])][int(match["number"])] = name
    chosen = [key for key in sets if key[0] == "model"] or list(sets)
    if len(chosen) > 1:
        first, second = (min(sets[key].values()) for key in chosen[:2])
        raise invalid(second, f"{first} and it are shards of different sets, and no index tells which count")
    if not chosen:
        return ()
    ((_, count),) = chosen
    shards = sets[chosen[0]]
    missing = next((number for number in range(1, count + 1) if number not in shards), None)
    if missing is not None:
        raise invalid(min(shards.values()), f"of its {count:,} shards number {missing:,} is missing")
    return tuple(shards[number] for number in range(1, count + 1))
