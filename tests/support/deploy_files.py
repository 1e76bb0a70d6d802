"""What lies in deploy/, read for tests: units, examples of environments, compose files, images."""

import re
from pathlib import Path
from typing import Any

import yaml

from moorage_agent.config import AgentSettings
from moorage_common.runtime.config import SECRETS_DIR, ServiceSettings
from moorage_downloader.config import DownloaderSettings
from moorage_registry.config import RegistrySettings
from moorage_scheduler.config import SchedulerSettings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SETTINGS: dict[str, type[ServiceSettings]] = {
    "registry": RegistrySettings,
    "scheduler": SchedulerSettings,
    "downloader": DownloaderSettings,
    "agent": AgentSettings,
}


def known_variables(service: str) -> set[str]:
    """The variables that a service reads."""
    settings = SETTINGS[service]
    prefix = settings.model_config.get("env_prefix", "")
    return {prefix + field.upper() for field in settings.model_fields} | {SECRETS_DIR}


def unit_of(service: str) -> Path:
    return DEPLOY / "systemd" / f"moorage-{service}.service"


def unit_settings(path: Path) -> dict[str, list[str]]:
    """Every assignment in a unit, by key."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def example_environment(service: str, *, commented: bool = False) -> dict[str, str]:
    """What the example for a unit sets, or also what it shows in comments."""
    start = "#?" if commented else ""
    text = (DEPLOY / "systemd" / "env" / f"{service}.env").read_text()
    return dict(re.findall(rf"(?m)^{start}(MOORAGE_\w+)=(.*)$", text))


def compose(name: str = "compose.yaml", **variables: str) -> dict[str, Any]:
    """A compose file, with variables put in as compose does it."""

    def value(match: re.Match[str]) -> str:
        return variables.get(match[1], match[2] or "")

    text = re.sub(r"\$\{(\w+):?[-?]([^}]*)\}", value, (DEPLOY / name).read_text())
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def image_stage(service: str) -> str:
    """The part of the Containerfile that makes a service's finished image."""
    text = (DEPLOY / "Containerfile").read_text()
    found = re.search(rf"(?ms)^FROM runtime AS {service}$.*?(?=^FROM |\Z)", text)
    assert found, service
    return found[0]


def image_environment(service: str) -> dict[str, str]:
    return dict(re.findall(r"(MOORAGE_\w+)=(\S+)", image_stage(service)))
