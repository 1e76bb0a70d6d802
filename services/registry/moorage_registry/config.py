"""The registry's settings."""

from typing import Annotated, ClassVar
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from pydantic_settings import SettingsConfigDict

from moorage_common.runtime.addresses import ListenAddress
from moorage_common.runtime.config import ServiceSettings


def _database_url(url: str) -> str:
    if not _is_database_url(url):
        # Never repeated: it may hold a password.
        raise PydanticCustomError(
            "database_url",
            "must look like postgresql://user:password@host:port/database, with what is no letter or digit in user and "
            "password percent-encoded",
        )
    return url


def _is_database_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        if parts.query:
            parse_qs(parts.query, strict_parsing=True)
        _, _, hosts = parts.netloc.rpartition("@")
        # There may be several; a port is checked by being read.
        ports = [urlsplit(f"//{host}").port for host in hosts.split(",")]
    except ValueError:
        return False
    # An @ elsewhere means that something before it ended the host too early: a password, most likely.
    misplaced = parts.fragment or parts.netloc.count("@") > 1 or "@" in parts.path
    return parts.scheme in {"postgresql", "postgres"} and not misplaced and 0 not in ports


def whereabouts(url: str) -> str:
    """Returns host, port and database of a URL that was taken as a setting: what of it may be shown."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] + parts.path


DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
"""Of a PostgreSQL server, as asyncpg reads it."""
MaybeDatabaseUrl = Annotated[str, AfterValidator(lambda url: url and _database_url(url))]
"""The same, or nothing."""


class RegistrySettings(ServiceSettings):
    """Settings of the registry: flags over environment over defaults."""

    model_config = SettingsConfigDict(env_prefix="MOORAGE_REGISTRY_", cli_prog_name="moorage-registry")
    shared_environment: ClassVar[dict[str, str]] = {"database_url": "MOORAGE_DATABASE_URL"}

    listen: ListenAddress = "127.0.0.1:7600"
    """Address to serve on, host:port."""
    database_url: DatabaseUrl = "postgresql://127.0.0.1:5432/moorage"
    """PostgreSQL, as the role that reads and writes rows: postgresql://user:password@host:port/database."""
    migration_database_url: MaybeDatabaseUrl = ""
    """PostgreSQL, as the role that owns the tables, for migrations at start. Empty: the same as database_url."""
    database_connections: int = Field(default=10, ge=2, le=500)
    """Database connections at most."""
    lease_ttl_s: float = Field(default=15.0, ge=1.0, le=600.0)
    """How long a worker's lease lives without a heartbeat, in seconds. Agents send three in that time."""
    replace_after_s: float = Field(default=300.0, ge=0.0)
    """How long an instance may be UNREACHABLE before its model gets another one, in seconds."""
    kept_events: int = Field(default=100_000, ge=1000)
    """How many events watchers can go back."""
    max_watchers: int = Field(default=2_000, ge=1)
    """How many may watch this replica at once."""
