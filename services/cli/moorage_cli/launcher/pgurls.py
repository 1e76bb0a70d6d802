"""Who may do what in the embedded PostgreSQL, and the addresses that say so."""

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

SUPERUSER = "postgres"
OWNER = "moorage_owner"
APPLICATION = "moorage_app"
DATABASE = "moorage"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresUrls:
    """Addresses ``postgresql://role:password@127.0.0.1:port/database`` by what the role may do."""

    superuser: str
    """Everything. For making databases in tests; no service gets it."""
    owner: str
    """Owns the database: migrations."""
    application: str
    """Reads and writes rows, and alters nothing."""


def urls_for(passwords: dict[str, str], port: int) -> PostgresUrls:
    """Returns the addresses of the database ``moorage``."""

    def url(role: str, database: str) -> str:
        return f"postgresql://{role}:{passwords[role]}@127.0.0.1:{port}/{database}"

    return PostgresUrls(
        superuser=url(SUPERUSER, "postgres"),
        owner=url(OWNER, DATABASE),
        application=url(APPLICATION, DATABASE),
    )


def with_database(url: str, database: str) -> str:
    """Returns `url` with another database in its path."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def load_passwords(path: Path) -> dict[str, str]:
    """Reads the roles' passwords, or makes them up first. Only the owner of the file may read it."""
    if not path.exists():
        made = {role: secrets.token_urlsafe(24) for role in (SUPERUSER, OWNER, APPLICATION)}
        staging = path.with_suffix(".new")
        staging.unlink(missing_ok=True)
        descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(made, file)
            file.flush()
            os.fsync(file.fileno())
        staging.rename(path)
    loaded: dict[str, str] = json.loads(path.read_text())
    return loaded


def bootstrap_sql(passwords: dict[str, str]) -> str:
    """Returns the statements that a new cluster runs once, one to a line, as superuser in template1.

    The default privileges go into template1, so that every database made later (a test's, too)
    grants the application role its rows in whatever the owner creates.
    """
    granting = f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} GRANT"
    statements = (
        f"CREATE ROLE {OWNER} LOGIN PASSWORD '{passwords[OWNER]}'",
        f"CREATE ROLE {APPLICATION} LOGIN PASSWORD '{passwords[APPLICATION]}'",
        f"{granting} SELECT, INSERT, UPDATE, DELETE ON TABLES TO {APPLICATION}",
        f"{granting} USAGE, SELECT ON SEQUENCES TO {APPLICATION}",
        f"CREATE DATABASE {DATABASE} OWNER {OWNER}",
    )
    return "".join(f"{statement};\n" for statement in statements)
