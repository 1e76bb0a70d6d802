"""The agent's settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from moorage_common.core.address import Address
from moorage_common.runtime.addresses import HostName, ListenAddress, MaybeHostName, ServerAddress
from moorage_common.runtime.config import Seconds, ServiceSettings


class AgentSettings(ServiceSettings):
    """Settings of an agent: flags over environment over defaults."""

    model_config = SettingsConfigDict(env_prefix="MOORAGE_AGENT_", cli_prog_name="moorage-agent")
    shared_environment: ClassVar[dict[str, str]] = {"registry_address": "MOORAGE_REGISTRY"}

    listen: ListenAddress = "127.0.0.1:7603"
    """Address to serve on, host:port."""
    registry_address: ServerAddress = "127.0.0.1:7600"
    """Where the registry is, host:port."""
    worker_name: str = ""
    """Id of this node's worker. Empty: the host name, in small letters, digits and hyphens."""
    data_dir: Path = Path(".moorage/agent")
    """Where artifacts, and the state of engines, are kept. Tells who the node is: do not share or copy it."""
    public_host: MaybeHostName = ""
    """Host under which others reach this node. Empty: the address listened on, or the host name."""
    engine_host: HostName = "127.0.0.1"
    """Address that engines serve their OpenAI-compatible API on."""
    llama_server: Path | None = None
    """A llama-server to use in place of the xllamacpp package."""
    stop_engines_on_exit: bool = False
    """Stop the engines when the agent is told to stop. Otherwise they run on, and the next agent adopts them."""
    reserved_ram_bytes: int = Field(default=512 * 2**20, ge=0)
    """RAM that is never given to instances, in bytes."""
    reserved_gpu_bytes: int = Field(default=256 * 2**20, ge=0)
    """Memory of each GPU that is never given to instances, in bytes."""
    parallel_files: int = Field(default=4, ge=1, le=64)
    """Files that are fetched at the same time."""
    engine_start_timeout_s: Seconds = 900.0
    """How long an engine may take from its start to its first answer, in seconds."""
    engine_parallel_starts: int = Field(default=4, ge=1)
    """How many engines may load at the same time; the others wait for their turn."""
    engine_check_interval_s: float = Field(default=10.0, gt=0)
    """How often an engine that answers is looked at, in seconds. Three looks without an answer end it."""
    engine_stop_grace_s: Seconds = 10.0
    """How long an engine that was told to end is waited for before it is killed, in seconds."""
    engine_log_limit_bytes: int = Field(default=16 * 2**20, ge=2**16)
    """An engine's log is cut when it is longer than this; it takes up to twice as much."""

    def plaintext_addresses(self) -> Mapping[str, Address]:
        """Returns what is listened on and spoken to in plaintext, by setting."""
        return {
            **super().plaintext_addresses(),
            "registry_address": Address.parse(self.registry_address),
            "engine_host": Address(self.engine_host, 0),
        }
