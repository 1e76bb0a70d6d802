"""The downloader's settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from moorage_common.core.address import Address
from moorage_common.runtime.addresses import (
    ListenAddress,
    MaybeServerAddress,
    MaybeWebUrl,
    ServerAddress,
    WebUrl,
)
from moorage_common.runtime.config import ServiceSettings


class DownloaderSettings(ServiceSettings):
    """Settings of the downloader: flags over environment over defaults."""

    model_config = SettingsConfigDict(env_prefix="MOORAGE_DOWNLOADER_", cli_prog_name="moorage-downloader")
    shared_environment: ClassVar[dict[str, str]] = {
        "hf_endpoint": "HF_ENDPOINT",
        "hf_token": "HF_TOKEN",
        "https_proxy": "HTTPS_PROXY",
    }

    listen: ListenAddress = "127.0.0.1:7602"
    registry_address: ServerAddress = "127.0.0.1:7600"
    """Where the registry serves, HOST:PORT."""
    advertise_address: MaybeServerAddress = ""
    """Where workers reach this downloader, HOST:PORT. Empty: where it listens."""
    cache_dir: Path = Path(".moorage/downloader")
    """Folder for what has been pulled, and for what is arriving. Each downloader has its own."""
    hf_endpoint: WebUrl = "https://huggingface.co"
    """URL of the hub that hf: sources are on."""
    hf_token: SecretStr = SecretStr("")
    """Token for the hub. It is shown to the hub's own address and to no other."""
    https_proxy: MaybeWebUrl = ""
    """URL of a proxy for the network outside of this machine. Empty: none."""
    file_root: Path = Path("/")
    """Folder that file: sources must be under, also once symbolic links are followed."""
    pulls_at_once: int = Field(default=4, ge=1, le=100)
    """Artifacts that are pulled at the same time."""
    files_at_once: int = Field(default=4, ge=1, le=100)
    """Files that are transferred at the same time, over all artifacts."""
    resolutions_at_once: int = Field(default=8, ge=1, le=100)
    """Sources that are resolved at the same time."""
    poll_interval_s: float = Field(default=5.0, gt=0)
    """Seconds after which the registry is asked for work even if nothing seems to have changed."""

    def plaintext_addresses(self) -> Mapping[str, Address]:
        """Returns what is listened on and spoken to in plaintext, by setting."""
        return {**super().plaintext_addresses(), "registry_address": Address.parse(self.registry_address)}
