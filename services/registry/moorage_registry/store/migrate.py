"""Brings the database's tables to what this version of the registry expects.

The migrations run in a process of their own: what they load is needed once, and would stay in memory for good.
"""

import asyncio
import os
import sys
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from moorage_common.core.errors import FailedPrecondition, Internal
from moorage_registry.store.database import create_engine
from moorage_registry.store.failures import translate

MIGRATIONS = Path(__file__).with_name("migrations")
URL_VARIABLE = "MOORAGE_REGISTRY_MIGRATED_DATABASE_URL"
"""Tells the other process which database; a URL among its arguments would show its password to every user."""

_UNDEFINED_TABLE = "42P01"


async def migrate(url: str) -> None:
    """Runs every migration that the database lacks; replicas that start together wait for each other.

    Raises:
        Unavailable: The database cannot be reached (DATABASE_UNAVAILABLE).
        FailedPrecondition: A newer registry has changed the tables.
        Internal: A migration failed; the process that ran it has said why on standard error.
    """
    found, newest = await _revision(url), _newest()
    if found == newest:
        return
    if found is not None and found > newest:
        raise FailedPrecondition(
            f"the database's tables are of a newer registry: revision {found}, and this one knows {newest}",
            remedy="Run that version or a later one, or restore the backup from before it.",
        )
    argv = [sys.executable, "-m", "moorage_registry.store.migrations"]
    child = await asyncio.create_subprocess_exec(*argv, env={**os.environ, URL_VARIABLE: url})
    try:
        await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
    if child.returncode:
        await _revision(url)  # raises what to wait for, if it was the database that went away
        raise Internal(
            f"the database's tables could not be brought to revision {newest}: the lines above say why"
        )


def _newest() -> str:
    """The last migration's revision: files are named `v<revision>_<what>`."""
    return max(path.stem for path in MIGRATIONS.glob("versions/v*.py"))[1:].partition("_")[0]


async def _revision(url: str) -> str | None:
    """Returns the revision that the database's tables are at. None: it has none."""
    engine = create_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            found = await connection.scalar(text("SELECT version_num FROM alembic_version"))
            return None if found is None else str(found)
    except Exception as error:
        if isinstance(error, ProgrammingError) and getattr(error.orig, "sqlstate", "") == _UNDEFINED_TABLE:
            return None
        translated = translate(error)
        if translated is None:
            raise
        raise translated from error
    finally:
        await asyncio.shield(engine.dispose())
