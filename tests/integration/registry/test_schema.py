"""The migrations lead to exactly the tables that the code knows, and the application role cannot alter them."""

import json
import secrets
from urllib.parse import urlsplit

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from google.protobuf.json_format import MessageToJson
from sqlalchemy.pool import NullPool

from moorage.common.v1 import placement_pb2
from moorage_cli.launcher.pgurls import with_database
from moorage_common.core.errors import FailedPrecondition, Internal
from moorage_registry.store.database import create_engine
from moorage_registry.store.migrate import MIGRATIONS, migrate
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


@pytest.fixture
async def tables_of(postgres):
    """Makes a database with the tables of an earlier revision; returns its owner's URL."""
    name = f"moorage_earlier_{secrets.token_hex(4)}"
    owner = with_database(postgres.owner, name)
    administering = await asyncpg.connect(postgres.superuser)
    await administering.execute(f"CREATE DATABASE {name} OWNER {urlsplit(postgres.owner).username}")

    def upgrade(connection, revision):
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    async def make(revision):
        engine = create_engine(owner, poolclass=NullPool)
        async with engine.connect() as connection:
            await connection.run_sync(upgrade, revision)
            await connection.commit()
        await engine.dispose()
        return owner

    yield make
    await administering.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await administering.close()


async def test_what_an_earlier_registry_wrote_keeps_its_meaning(tables_of):
    """Models without options, instances on one worker, events for one worker or none."""
    owner = await tables_of("0002")
    connection = await asyncpg.connect(owner)
    record = "1, now(), now()"
    await connection.execute(
        f"""
        INSERT INTO workers VALUES ('w', {record}, 'w', 'n', 'READY', false, '{{}}', '{{}}', '{{}}', NULL, NULL);
        INSERT INTO models (uid, version, created_at, updated_at, id, labels, source, llama_cpp, replicas, placement,
            desired_state, resolution_state) VALUES ('m', {record}, 'm', '{{}}', 'hf:a/b', '{{}}', 1, '{{}}', 'RUNNING',
            'RESOLVING');
        INSERT INTO instances (uid, version, created_at, updated_at, model_id, id, state, state_at, worker_id, endpoint,
            restart_count, retiring, generation, evicting)
            VALUES ('i', {record}, 'm', 'i', 'RUNNING', now(), 'w', '', 0, false, 1, false);
        INSERT INTO outbox (kind, name, worker_id, event) VALUES ('MODEL', 'models/m', NULL, 'x');
        INSERT INTO events VALUES (1, 'INSTANCE', 'w', 'x', now(), 'models/m/instances/i');
        """
    )
    await migrate(owner)
    model = await connection.fetchrow("SELECT engine_version, vllm, category FROM models")
    assert tuple(model) == ("", "{}", None)
    instance = await connection.fetchrow("SELECT subordinates, artifact_on_all FROM instances")
    assert tuple(instance) == ([], False)
    assert await connection.fetchval("SELECT worker_ids FROM outbox") == []
    assert await connection.fetchval("SELECT worker_ids FROM events") == ["w"]
    await connection.close()


async def test_explanations_of_an_earlier_registry_are_kept_whole(tables_of):
    owner = await tables_of("0004")
    connection = await asyncpg.connect(owner)
    told = placement_pb2.Explanation(
        verdict=placement_pb2.VERDICT_PLACED,
        summary="fits",
        workers_considered=3,
        workers=[placement_pb2.WorkerExplanation(worker="workers/w", rank=1, score=80.5)],
    )
    stored = MessageToJson(told, preserving_proto_field_name=True)
    record = "1, now(), now()"
    await connection.execute(
        f"""
        INSERT INTO models (uid, version, created_at, updated_at, id, labels, source, engine_version, llama_cpp, vllm,
            replicas, placement, desired_state, resolution_state) VALUES ('m', {record}, 'm', '{{}}', 'hf:a/b', '',
            '{{}}', '{{}}', 1, '{{}}', 'RUNNING', 'RESOLVING');
        INSERT INTO instances (uid, version, created_at, updated_at, model_id, id, state, state_at, subordinates,
            artifact_on_all, endpoint, restart_count, retiring, generation, evicting, explanation)
            SELECT id, {record}, 'm', id, 'PENDING', now(), '{{}}', false, '', 0, false, 1, false, told::jsonb
            FROM (VALUES ('told', $told${stored}$told$), ('untold', NULL)) AS given (id, told);
        """
    )
    await migrate(owner)
    rows = await connection.fetch("SELECT explanation, explanation_message FROM instances ORDER BY id")
    assert placement_pb2.Explanation.FromString(rows[0]["explanation_message"]) == told
    gist = {"verdict": "VERDICT_PLACED", "summary": "fits", "workers_considered": 3}
    assert json.loads(rows[0]["explanation"]) == gist
    assert tuple(rows[1]) == (None, None)
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
