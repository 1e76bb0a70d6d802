"""Runs the migrations that a database lacks: the process that `migrate` starts."""

import asyncio
import os
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.pool import NullPool

from moorage_registry.store.database import create_engine
from moorage_registry.store.failures import DATABASE_ERRORS, said_in_one_line
from moorage_registry.store.migrate import URL_VARIABLE

_LOCK = 0x6D6F6F72
"""Key of the advisory lock that makes replicas migrate one after the other."""


async def run(url: str) -> None:
    """Runs them under the lock, in one transaction each."""
    engine = create_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
            await connection.commit()
            await connection.run_sync(upgrade)
            await connection.commit()
    finally:
        await engine.dispose()


def upgrade(connection: Connection) -> None:
    """Runs the migrations on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def main() -> int:
    """Runs them, and says in one line what a person can mend."""
    try:
        asyncio.run(run(os.environ[URL_VARIABLE]))
    except DATABASE_ERRORS as error:
        sys.stderr.write(f"moorage-registry: a migration failed: {said_in_one_line(error)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
