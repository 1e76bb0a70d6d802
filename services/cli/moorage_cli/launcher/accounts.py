"""Which user PostgreSQL runs as: it refuses to run as root."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from moorage_common.core.errors import ErrorReason, FailedPrecondition

_UNPRIVILEGED_NAMES = ("postgres", "nobody")
"""In order of preference. `initdb` wants a user that the system knows by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user of this machine to run a program as."""

    name: str
    uid: int
    gid: int


def database_account(data_dir: Path) -> Account | None:
    """Returns whom PostgreSQL must run as, or None for the user who runs this.

    Args:
        data_dir: PostgreSQL's data directory; its owner, if it exists and is not root, goes on owning it.

    Raises:
        FailedPrecondition: This is root, and the machine knows no unprivileged user.
    """
    if os.geteuid() != 0:
        return None
    if data_dir.exists() and data_dir.stat().st_uid != 0:
        return _account(pwd.getpwuid(data_dir.stat().st_uid))
    for name in _UNPRIVILEGED_NAMES:
        try:
            return _account(pwd.getpwnam(name))
        except KeyError:
            continue
    raise FailedPrecondition(
        "PostgreSQL does not run as root, and this machine has neither a user 'postgres' nor 'nobody'",
        reason=ErrorReason.DATABASE_UNAVAILABLE,
        remedy="Run as an ordinary user, or point MOORAGE_DATABASE_URL to a PostgreSQL server.",
    )


def can_traverse(path: Path, account: Account) -> bool:
    """Whether `account` may pass through `path` and every directory above it (by mode bits)."""
    return all(_may_execute(directory, account) for directory in (path, *path.parents))


def _may_execute(path: Path, account: Account) -> bool:
    try:
        status = path.stat()
    except FileNotFoundError:
        return True  # It will be made by us, open enough.
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)
