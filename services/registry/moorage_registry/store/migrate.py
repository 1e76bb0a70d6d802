"""Brings the database's tables to what this version of the registry expects."""

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.pool import NullPool

from moorage_registry.store.database import create_engine
from moorage_registry.store.failures import translate

_LOCK = 0x6D6F6F72
"""Key of the advisory lock that makes replicas migrate one after the other."""


async def migrate(url: str) -> None:
    """Runs every migration that the database lacks; replicas that start together wait for each other.

    Raises:
        Unavailable: The database cannot be reached (DATABASE_UNAVAILABLE).
    """
    engine = create_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
            await connection.commit()
            await connection.run_sync(upgrade)
            await connection.commit()
    except Exception as error:
        translated = translate(error)
        if translated is None:
            raise
        raise translated from error
    finally:
        await asyncio.shield(engine.dispose())


def upgrade(connection: Connection) -> None:
    """Runs the migrations on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
