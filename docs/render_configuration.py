"""Writes configuration.md from the settings themselves: ``python docs/render_configuration.py``."""  # noqa: INP001 - a script

from pathlib import Path

from moorage_agent.config import AgentSettings
from moorage_common.runtime.config import ServiceSettings, settings_table
from moorage_downloader.config import DownloaderSettings
from moorage_registry.config import RegistrySettings
from moorage_scheduler.config import SchedulerSettings

PAGE = Path(__file__).with_name("configuration.md")
SERVICES: dict[str, type[ServiceSettings]] = {
    "Registry": RegistrySettings,
    "Scheduler": SchedulerSettings,
    "Downloader": DownloaderSettings,
    "Agent": AgentSettings,
}
INTRODUCTION = """# Configuration

Every setting of every service, as its `--help` shows it. A flag wins over the environment, the environment over
a file of secrets, and that over the default. This page is made of the settings themselves, by
`python docs/render_configuration.py`.

A file of secrets has the name of the variable, in small letters or in capitals, and lies in the folder that
`MOORAGE_SECRETS_DIR` names: what is in the file is the setting.

A service whose settings are wrong ends with exit code 2 before it does anything, and says in one line which, by flag
and variables, and why. Any other failure ends it with 1; a clean stop with 0. Hosts are not looked up for that: an
address that nobody answers at is no wrong setting.
"""


def render() -> str:
    """Returns the page."""
    parts = [INTRODUCTION]
    for title, settings in SERVICES.items():
        parts.append(f"## {title}: `{settings.program()}`\n\n{settings_table(settings)}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(render())
