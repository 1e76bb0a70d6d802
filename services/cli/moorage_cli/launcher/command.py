"""What it takes to run one program."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM, Signals

from moorage_cli.launcher.accounts import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program to run as a child that does not outlive its launcher."""

    argv: tuple[str, ...]
    """With an absolute path to the program first."""
    env: Mapping[str, str] = field(default_factory=dict)
    """The whole environment, not additions to one."""
    cwd: Path | None = None
    account: Account | None = None
    """Whom to run it as; None for the user who runs this."""
    stop_signal: Signals = SIGTERM
    """Asks it to end in good order. Also sent when the launcher dies."""
