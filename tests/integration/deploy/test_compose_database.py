"""What compose makes of a new PostgreSQL: passwords by secrets.sh, roles by roles.sql, tables by the registry."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from deploy_files import DEPLOY, compose

from moorage_cli.launcher.pgbinaries import find_binaries
from moorage_cli.launcher.postgres import EmbeddedPostgres
from moorage_registry.store.migrate import migrate

ROLES = DEPLOY / "compose" / "roles.sql"


@dataclass(frozen=True, slots=True)
class NewServer:
    """A PostgreSQL without anything of ours in it, and a folder of secrets."""

    port: int
    superuser: str
    secrets: Path

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Runs a script as PostgreSQL's image does at its first start."""
        psql = find_binaries(None).postgres.with_name("psql")
        return subprocess.run(
            [psql, "--no-psqlrc", "--set=ON_ERROR_STOP=1", f"--dbname={self.superuser}"],
            input=script,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "MOORAGE_SECRETS_DIR": str(self.secrets)},
        )

    def url(self, secret: str) -> str:
        """An address out of the secrets, with this server's place in it."""
        text = (self.secrets / secret).read_text()
        assert "@postgres:5432/" in text
        return text.replace("@postgres:5432/", f"@127.0.0.1:{self.port}/")


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    make_secrets(tmp_path)
    return tmp_path / "secrets"


@pytest.fixture
async def new_server(secrets: Path) -> AsyncIterator[NewServer]:
    directory = Path(tempfile.mkdtemp(prefix="moorage-compose-"))
    directory.chmod(0o711)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = EmbeddedPostgres(directory / "data", port=port, durable=False)
    try:
        superuser = server.start().superuser
        await forget_the_launchers_roles(superuser)
        yield NewServer(port, superuser, secrets)
    finally:
        server.stop()
        shutil.rmtree(directory)


async def test_the_owner_migrates_and_the_application_only_reads_and_writes(new_server: NewServer) -> None:
    done = new_server.run(ROLES.read_text())
    assert done.returncode == 0, done.stderr
    await migrate(new_server.url("moorage_registry_migration_database_url"))
    application = await asyncpg.connect(new_server.url("moorage_registry_database_url"))
    try:
        assert await application.fetchval("SELECT count(*) FROM models") == 0
        await application.execute("DELETE FROM models")
        for statement in ("CREATE TABLE more (id int)", "DROP TABLE models", "CREATE ROLE more"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await application.execute(statement)
    finally:
        await application.close()


async def test_without_a_password_no_role_is_made(new_server: NewServer) -> None:
    (new_server.secrets / "owner_password").unlink()
    done = new_server.run(ROLES.read_text())
    assert done.returncode != 0
    assert "must be there" in done.stderr
    assert "CREATE ROLE" not in done.stdout


async def test_a_broken_script_is_found_out(new_server: NewServer) -> None:
    assert new_server.run(ROLES.read_text().replace("OWNER moorage_owner", "OWNED moorage_owner")).returncode


def test_secrets_are_made_once_and_only_their_owner_gets_to_them(tmp_path: Path, secrets: Path) -> None:
    wanted = {Path(secret["file"]).name for secret in compose()["secrets"].values()}
    made = {path.name: path.read_text() for path in secrets.iterdir()}
    assert made.keys() == wanted
    assert secrets.stat().st_mode & 0o077 == 0
    passwords = [made[name] for name in made if name.endswith("_password")]
    assert len(set(passwords)) == 3
    assert all(len(password) == 48 for password in passwords)
    make_secrets(tmp_path)
    assert {path.name: path.read_text() for path in secrets.iterdir()} == made


def make_secrets(directory: Path) -> None:
    script = shutil.copy(DEPLOY / "compose" / "secrets.sh", directory)
    subprocess.run([script], check=True)


async def forget_the_launchers_roles(superuser: str) -> None:
    connection = await asyncpg.connect(superuser, database="template1")
    try:
        await connection.execute("DROP DATABASE moorage")
        for role in ("moorage_owner", "moorage_app"):
            await connection.execute(f"DROP OWNED BY {role}")
        for role in ("moorage_owner", "moorage_app"):
            await connection.execute(f"DROP ROLE {role}")
    finally:
        await connection.close()
