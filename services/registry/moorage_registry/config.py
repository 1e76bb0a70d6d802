"""The registry's settings."""

from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from moorage_common.runtime.config import ServiceSettings


class RegistrySettings(ServiceSettings):
    """Settings of the registry: flags over environment over defaults."""

    model_config = SettingsConfigDict(env_prefix="MOORAGE_REGISTRY_", cli_prog_name="moorage-registry")
    shared_environment: ClassVar[dict[str, str]] = {"database_url": "MOORAGE_DATABASE_URL"}

    listen: str = "127.0.0.1:7600"
    """Address to serve on, host:port."""
    database_url: str = "postgresql://127.0.0.1:5432/moorage"
    """PostgreSQL, as the role that reads and writes rows: postgresql://user:password@host:port/database."""
    migration_database_url: str = ""
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
