"""What an agent writes down about an engine, so that the next agent finds it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from moorage_agent.core.spec import EngineSpec
from moorage_agent.engines.process import ProcessIdentity
from moorage_agent.files import read_json, write_json

_NAME = "engine.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRecord:
    """One engine, as written in its directory.

    It is written before the process starts, and again, with the process's identity, right after.
    """

    uid: str
    instance: str
    generation: int
    spec: EngineSpec
    process: ProcessIdentity | None = None
    """None: it was about to start, or it has ended."""
    restart_count: int = 0
    failures: int = 0

    def write(self, directory: Path) -> None:
        """Replaces the record in the engine's directory."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_json(directory / _NAME, asdict(self))

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """Returns the record in a directory; None if there is none that can be understood."""
        fields = read_json(directory / _NAME)
        try:
            return None if fields is None else cls._from_json(fields)
        except (KeyError, TypeError, ValueError):
            return None

    @classmethod
    def _from_json(cls, fields: dict[str, Any]) -> Self:
        process = fields["process"]
        return cls(
            uid=fields["uid"],
            instance=fields["instance"],
            # Agents that knew of no generations wrote none. 1 is what the registry calls all that was bound before it
            # counted them, so such engines run on; whatever was bound or restarted since has a higher one.
            generation=fields.get("generation", 1),
            spec=EngineSpec.from_json(fields["spec"]),
            process=None if process is None else ProcessIdentity(**process),
            restart_count=fields["restart_count"],
            failures=fields["failures"],
        )
