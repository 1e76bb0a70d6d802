"""Alembic's entry: runs migrations on the connection that `__main__.upgrade` hands over."""

from alembic import context
from sqlalchemy import Connection

from moorage_registry.store.schema import metadata

connection: Connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
