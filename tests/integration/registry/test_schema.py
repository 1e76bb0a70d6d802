"""The migrations lead to exactly the tables that the code knows, and the application role cannot alter them."""

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from moorage_common.core.errors import FailedPrecondition, Internal
from moorage_registry.store.database import create_engine
from moorage_registry.store.migrate import migrate
from moorage_registry.store.schema import metadata


async def test_the_migrations_lead_to_the_schema(database):
    engine = create_engine(database.owner)
    async with engine.connect() as connection:
        found = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), metadata)
        )
    await engine.dispose()
    assert found == []


async def test_migrating_again_changes_nothing(database):
    await migrate(database.owner)
    await migrate(database.owner)


async def test_tables_of_a_newer_registry_are_left_alone(database):
    connection = await asyncpg.connect(database.owner)
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(FailedPrecondition, match="revision 9999, and this one knows 0"):
        await migrate(database.owner)
    await connection.close()


async def test_a_migration_that_fails_is_said(database, capfd):
    connection = await asyncpg.connect(database.owner)
    await connection.execute("UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(Internal, match="the lines above"):
        await migrate(database.owner)
    assert "already exists" in capfd.readouterr().err
    await connection.close()


async def test_a_role_that_may_not_migrate_is_told_so_in_one_line(database, capfd):
    if database.application == database.owner:
        pytest.skip("the given server has one role for everything")
    connection = await asyncpg.connect(database.owner)
    await connection.execute("UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(Internal, match="the lines above"):
        await migrate(database.application)
    said = capfd.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert said[0].startswith("moorage-registry: a migration failed: ")
    await connection.close()


async def test_the_database_itself_refuses_to_give_out_more_than_there_is(database):
    connection = await asyncpg.connect(database.owner)
    await connection.execute(
        "INSERT INTO workers VALUES ('u', 1, now(), now(), 'w', 'n', 'READY', false, '{}', '{}', '{}', NULL, NULL)"
    )
    with pytest.raises(asyncpg.CheckViolationError, match="claimed_within_capacity"):
        await connection.execute("INSERT INTO memory_pools VALUES ('w', 'ram', 0, 10, 0, 10, 11, 0, true)")
    await connection.close()


async def test_the_application_role_may_not_alter_tables(database):
    if database.application == database.owner:
        pytest.skip("the given server has one role for everything")
    connection = await asyncpg.connect(database.application)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("DROP TABLE claims")
    await connection.close()
