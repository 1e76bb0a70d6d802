"""Typed access to a model's config.json: a value of a wrong kind or size is an error that names its key."""

import json
from collections.abc import Generator, Mapping, Sequence

from moorage_common.core.errors import FailedPrecondition
from moorage_common.modelfiles.config_defaults import DEFAULTS
from moorage_common.modelfiles.ranges import Need
from moorage_common.modelfiles.safetensors_header import invalid, show

CONFIG_NAME = "config.json"
MAX_CONFIG_BYTES = 2 << 20
"""The longest list what is quantised how, module by module."""
MAX_BLOCKS = 1024
_MAX_NUMBER = 2**31 - 1
_MAX_TEXT = 200

_TEXT_SECTIONS = ("text_config", "llm_config", "language_config", "thinker_config")
"""Where a multimodal model says what its language model is."""
_MAX_NESTING = 3


def parse_config(file_name: str, file_bytes: int) -> Generator[Need, bytes, "ConfigKeys"]:
    """Reads a JSON object that is small enough to be held whole; a parser of `moorage_common.modelfiles.ranges`.

    Raises:
        FailedPrecondition: MODEL_FILE_INVALID, with what was read.
    """
    if not 0 < file_bytes <= MAX_CONFIG_BYTES:
        raise invalid(file_name, f"it has {file_bytes:,} bytes, where a JSON object is expected")
    raw = yield Need(0, file_bytes)
    try:
        # Not strict: the library that writes these files writes Infinity, too.
        values = json.loads(raw[:file_bytes])
    except RecursionError as error:
        raise invalid(file_name, "not JSON that could be meant: it is nested too deeply") from error
    except ValueError as error:
        problem = error.msg if isinstance(error, json.JSONDecodeError) else str(error)[:_MAX_TEXT]
        raise invalid(file_name, f"not JSON: {problem}; it begins with {raw[:16]!r}") from error
    if not isinstance(values, dict):
        raise invalid(file_name, f"it is {show(values)}, where a JSON object is expected")
    return ConfigKeys(file_name, values)


class ConfigKeys:
    """The keys of a config.json or of a section of it.

    Args:
        file_name: What the file is called in errors.
        values: What it says.
        section: Path of the section, with a dot at its end. Empty: the whole.
    """

    def __init__(self, file_name: str, values: Mapping[str, object], section: str = "") -> None:
        self._file_name = file_name
        self._values = values
        self._section = section
        self.model_type = self.text("model_type")
        self._defaults = DEFAULTS.get(self.model_type, {})

    def language(self) -> "ConfigKeys":
        """What is said of the language model: a section of a multimodal model's, else all of it."""
        keys = self
        for _ in range(_MAX_NESTING):
            sections = [section for name in _TEXT_SECTIONS if (section := keys.section(name))]
            if not sections:
                break
            keys = sections[0]
        return keys

    def section(self, name: str) -> "ConfigKeys | None":
        """A nested object; None when there is none."""
        value = self._values.get(name)
        if not isinstance(value, dict) or not value:
            return None
        return ConfigKeys(self._file_name, value, f"{self._section}{name}.")

    def sections(self, name: str) -> "tuple[ConfigKeys, ...]":
        """A list of nested objects; empty when there is none."""
        return tuple(
            ConfigKeys(
                self._file_name, entry if isinstance(entry, dict) else {}, f"{self._section}{name}.{n}."
            )
            for n, entry in enumerate(self.list(name))
        )

    def all_sections(self) -> "tuple[ConfigKeys, ...]":
        """Every nested object, of any name."""
        found = [self.section(name) for name in self._values]
        return tuple(section for section in found if section)

    def has(self, name: str) -> bool:
        """Whether the key is there and not null."""
        return self._values.get(name) is not None

    def text(self, name: str) -> str:
        """A string, at most 200 printable characters of it. Empty when there is none."""
        value = self._values.get(name)
        return value[:_MAX_TEXT] if isinstance(value, str) and value.isprintable() else ""

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A truth value."""
        value = self._values.get(name)
        return value if isinstance(value, bool) else default

    def number(self, *names: str, default: int | None = None) -> int:
        """The first of some whole numbers that is given, then of those that the model's class has.

        A list of one number per layer counts as the largest. Required when no default is given.
        """
        for name in names:
            if (value := self._values.get(name)) is not None:
                return self._checked(name, value)
        for name in names:
            # A key that is there and null says that the class's own value is not meant.
            if name in self._defaults and name not in self._values:
                return self._defaults[name]
        if default is None:
            raise self.fail(f"it gives no {' nor '.join(self._section + name for name in names)}")
        return default

    def size(self, name: str) -> int:
        """A whole number; 0 when there is none, or it is negative, which stands for none."""
        value = self._values.get(name)
        return 0 if value is None or (type(value) is int and value < 0) else self._whole(name, value)

    def list(self, name: str) -> Sequence[object]:
        """A list with at most one entry per layer, or a string as its characters; empty when there is none."""
        value = self._values.get(name)
        if value is None:
            return ()
        if not isinstance(value, list | str) or len(value) > 2 * MAX_BLOCKS:
            raise self.fail(f"{self._section}{name} is {show(value)}")
        return value

    def numbers(self, name: str) -> Sequence[int]:
        """A list of whole numbers; empty when there is none."""
        return [self._whole(name, entry) for entry in self.list(name)]

    def ratio(self, name: str, *, default: float) -> float:
        """A positive number, whole or not."""
        value = self._values.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _MAX_NUMBER:
            raise self.fail(f"{self._section}{name} is {show(value)}")
        return float(value)

    def believable(self, what: str, number: int, *, limit: int = _MAX_NUMBER) -> int:
        """A number that was computed of others; raises when it is too large."""
        if number > limit:
            raise self.fail(f"{number:,} {what} are more than is believed")
        return number

    def fail(self, problem: str) -> FailedPrecondition:
        """The error for what the file says."""
        return invalid(self._file_name, problem)

    def _checked(self, name: str, value: object) -> int:
        if isinstance(value, list) and value:
            return max(
                (self._whole(name, entry) for entry in self.list(name) if entry is not None), default=0
            )
        return self._whole(name, value)

    def _whole(self, name: str, value: object) -> int:
        if type(value) is not int or not 0 <= value <= _MAX_NUMBER:
            raise self.fail(f"{self._section}{name} is {show(value)}")
        return value
