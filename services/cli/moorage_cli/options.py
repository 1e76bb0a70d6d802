"""The options that every client command has, and what they amount to."""

import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from moorage_cli.launcher.home import DEFAULT_HOME, MeshHome
from moorage_common.core.errors import Unavailable

P = ParamSpec("P")


class Output(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"


DataDirOption = Annotated[
    Path,
    typer.Option("--data-dir", envvar="MOORAGE_HOME", help="Data directory of the mesh on this machine."),
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="How to print the result.")]

_RegistryOption = Annotated[
    str, typer.Option("--registry", envvar="MOORAGE_REGISTRY", metavar="HOST:PORT", help="The registry.")
]
_SchedulerOption = Annotated[
    str, typer.Option("--scheduler", envvar="MOORAGE_SCHEDULER", metavar="HOST:PORT", help="A scheduler.")
]
_DownloaderOption = Annotated[
    str, typer.Option("--downloader", envvar="MOORAGE_DOWNLOADER", metavar="HOST:PORT", help="A downloader.")
]
_InsecureOption = Annotated[
    bool,
    typer.Option("--insecure", envvar="MOORAGE_INSECURE", help="Allow plaintext beyond this machine."),
]

_COMMON: dict[str, tuple[Any, object]] = {
    "registry": (_RegistryOption, ""),
    "scheduler": (_SchedulerOption, ""),
    "downloader": (_DownloaderOption, ""),
    "data_dir": (DataDirOption, DEFAULT_HOME),
    "insecure": (_InsecureOption, False),
    "debug": (DebugOption, False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshTarget:
    """Where the mesh is: what was said, or else what the launcher left in the data directory."""

    registry: str
    scheduler: str
    downloader: str
    data_dir: Path
    insecure: bool

    def address(self, service: str) -> str:
        """Returns "host:port" of the registry, scheduler or downloader.

        Raises:
            Unavailable: Nothing says where it is.
        """
        said = {"registry": self.registry, "scheduler": self.scheduler, "downloader": self.downloader}
        address = said[service] or MeshHome(self.data_dir).addresses().get(service, "")
        if not address:
            raise Unavailable(
                f"no mesh is known here: {self.data_dir} has none, and no {service} was named",
                remedy=f"Start one with 'moor up', or name the {service} with --{service} or "
                f"MOORAGE_{service.upper()}.",
            )
        return address


def connected(
    command: Callable[Concatenate[MeshTarget, P], Coroutine[Any, Any, int]],
) -> Callable[P, None]:
    """Makes a client command of a coroutine: adds the common options, and passes on what they amount to."""

    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        said: dict[str, Any] = {name: kwargs.pop(name) for name in _COMMON}
        debug: bool = said.pop("debug")
        execute(lambda: command(MeshTarget(**said), *args, **kwargs), debug=debug)

    own = list(inspect.signature(command).parameters.values())[1:]
    common = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in _COMMON.items()
    ]
    own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    run.__name__ = command.__name__
    run.__doc__ = command.__doc__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *common)}
    run.__signature__ = inspect.Signature([*own, *common])  # type: ignore[attr-defined]
    return run


def execute(command: Callable[[], Coroutine[Any, Any, int]], *, debug: bool) -> None:
    """Runs a command to its end and leaves with its exit code; errors are told, not raised."""
    # What tells errors prints, which `moor --help` need not wait for.
    from moorage_cli.execution import run_command  # noqa: PLC0415

    raise typer.Exit(run_command(command, debug=debug))
