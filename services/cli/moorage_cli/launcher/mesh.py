"""A whole mesh on one machine: which processes, with which settings, in which order."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from moorage_cli.launcher.command import Command
from moorage_cli.launcher.events import ProcessEvent
from moorage_cli.launcher.home import MeshHome
from moorage_cli.launcher.ports import FIRST_PORT, choose_addresses
from moorage_cli.launcher.postgres import EmbeddedPostgres
from moorage_cli.launcher.supervisor import ProcessSpec, Supervisor
from moorage_common.rpc.probe import accepts_connections, is_serving
from moorage_common.runtime.telemetry import Telemetry

_DATABASE_URL = "MOORAGE_DATABASE_URL"
_SERVICES = ("registry", "scheduler", "downloader", "agent")
_STOP_GRACE_S = {"agent": 30.0}  # It stops its engines first.


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshOptions:
    """What a mesh is made of, beyond what every mesh has."""

    home: Path
    """Data directory."""
    environment: Mapping[str, str]
    """The launcher's own: settings of the services in it reach them. A database given in
    MOORAGE_DATABASE_URL is used in place of the embedded one."""
    first_port: int = FIRST_PORT
    """Where to look for free ports."""
    hub_root: Path | None = None
    """Serve this directory as a Hugging Face hub, and let the downloader use that hub alone."""


class Mesh:
    """The processes of a mesh, from PostgreSQL to the agent.

    Make it inside ``MeshHome.claim()``: two launchers in one directory would fight.

    Args:
        options: What it is made of.
        report: Is told what happens to the processes.
    """

    def __init__(self, options: MeshOptions, *, report: Callable[[ProcessEvent], None]) -> None:
        home = MeshHome(options.home.absolute())
        self._options = options
        self._home = home
        self._telemetry = Telemetry(service="moor")
        names = [*_SERVICES]
        names += [] if _DATABASE_URL in options.environment else ["postgres"]
        names += ["hub"] if options.hub_root else []
        known = home.addresses()
        chosen = choose_addresses(names, known=known, first_port=options.first_port)
        home.store_addresses({**known, **chosen})
        self.addresses = chosen
        """ "host:port" of each process, by name."""
        self._postgres = self._embedded_postgres()
        self._supervisor = Supervisor(
            stages=self._stages(), run_dir=home.run_dir, log_dir=home.log_dir, report=report
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know, in sentences."""
        note = self._postgres.note if self._postgres else ""
        return (note,) if note else ()

    @property
    def log_dir(self) -> Path:
        """Where the processes' logs are."""
        return self._home.log_dir

    def pids(self) -> dict[str, int]:
        """Returns the process ids of what runs now, by name."""
        return self._supervisor.pids()

    async def start(self) -> None:
        """Starts every process and waits until each serves.

        Raises:
            MoorageError: One does not; call `stop` then, too.
        """
        await self._supervisor.start()

    async def stop(self) -> None:
        """Stops every process, the agent with its engines first, PostgreSQL last."""
        await self._supervisor.stop()

    def _embedded_postgres(self) -> EmbeddedPostgres | None:
        if "postgres" not in self.addresses:
            return None
        port = int(self.addresses["postgres"].rpartition(":")[2])
        return EmbeddedPostgres(self._home.root / "postgres", port=port)

    def _stages(self) -> list[list[ProcessSpec]]:
        foundation = [_postgres_spec(self._postgres)] if self._postgres else []
        if self._options.hub_root is not None:
            foundation.append(self._hub_spec(self._options.hub_root))
        registry, *others = (self._service_spec(name) for name in _SERVICES)
        return [foundation, [registry], others]

    def _hub_spec(self, root: Path) -> ProcessSpec:
        address = self.addresses["hub"]
        port = address.rpartition(":")[2]
        argv = (sys.executable, "-m", "moorage_cli.quickstart.hub", "--root", str(root), "--port", port)
        return ProcessSpec(
            name="hub",
            command=lambda: Command(argv=argv, env=self._options.environment),
            is_ready=lambda pid: accepts_connections(address),  # noqa: ARG005 - asked by address
        )

    def _service_spec(self, name: str) -> ProcessSpec:
        argv = (sys.executable, "-m", f"moorage_{name}")
        address = self.addresses[name]
        # A database that is not ours may come up later; the registry waits for it, and so do we.
        waits_for_others = name == "registry" and self._postgres is None
        return ProcessSpec(
            name=name,
            command=lambda: Command(argv=argv, env=self._service_environment(name)),
            is_ready=lambda pid: is_serving(address, self._telemetry),  # noqa: ARG005 - asked by address
            ready_within_s=None if waits_for_others else 60.0,
            stop_grace_s=_STOP_GRACE_S.get(name, 10.0),
        )

    def _service_environment(self, name: str) -> dict[str, str]:
        """Returns the launcher's environment with what this mesh decides for the service."""
        root = self._home.root
        decided = {"listen": self.addresses[name], **self._settings_of(name, root)}
        prefix = f"MOORAGE_{name.upper()}_"
        environment = {**self._options.environment, "PYTHONUNBUFFERED": "1"}
        environment |= {prefix + field.upper(): value for field, value in decided.items()}
        return environment

    def _settings_of(self, name: str, root: Path) -> dict[str, str]:
        registry = {"registry_address": self.addresses["registry"]}
        match name:
            case "registry":
                return self._database_settings()
            case "downloader":
                hub = {"hf_endpoint": f"http://{self.addresses['hub']}"} if "hub" in self.addresses else {}
                return {**registry, "cache_dir": str(root / "downloader"), **hub}
            case "agent":
                return {**registry, "data_dir": str(root / "agent"), "stop_engines_on_exit": "true"}
            case _:
                return {**registry, "downloader_address": self.addresses["downloader"]}

    def _database_settings(self) -> dict[str, str]:
        if self._postgres is None:
            return {}
        urls = self._postgres.urls
        return {"database_url": urls.application, "migration_database_url": urls.owner}


def _postgres_spec(postgres: EmbeddedPostgres) -> ProcessSpec:
    def command() -> Command:
        postgres.prepare()
        return postgres.command()

    async def is_ready(pid: int) -> bool:
        return postgres.is_ready(pid)

    return ProcessSpec(name="postgres", command=command, is_ready=is_ready)
