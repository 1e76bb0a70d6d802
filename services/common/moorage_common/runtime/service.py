"""The frame of a service's process: settings, logs, spans, signals, exit code.

    def main() -> None:
        sys.exit(run_service(RegistrySettings, serve))


    async def serve(settings: RegistrySettings, process: Process) -> None:
        async with RpcServer(ServerConfig.of(settings), telemetry=process.telemetry) as server:
            ...
            await process.until_stopped()

SIGTERM or SIGINT ends `Process.until_stopped`, and leaving the blocks around it is the drain. One that
comes earlier, while the service still waits for its database, say, cancels `serve` instead. A second one
cancels the drain.
"""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import uvloop

from moorage_common.core.errors import MoorageError
from moorage_common.runtime.config import ServiceSettings, load_settings
from moorage_common.runtime.logs import configure_logs, get_logger
from moorage_common.runtime.tasks import TaskSupervisor
from moorage_common.runtime.telemetry import Telemetry

log = get_logger(__name__)

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_BAD_SETTINGS = 2


class Process:
    """What a service's process gives to the service in it."""

    def __init__(self, *, name: str, telemetry: Telemetry, tasks: TaskSupervisor) -> None:
        self.name = name
        """The program's name, e.g. ``moorage-registry``."""
        self.telemetry = telemetry
        self.tasks = tasks
        """Background tasks that live until the service has drained."""
        self.stopping = asyncio.Event()
        """Set once the process has been told to stop."""
        self._waits_for_stop = False

    async def until_stopped(self) -> None:
        """Waits until the process is told to stop. Leave the service's blocks after it, and they drain."""
        self._waits_for_stop = True
        await self.stopping.wait()

    def stop(self, serving: asyncio.Task[None]) -> None:
        """Does what a signal asks for: the first stops the service, a second one stops the stopping."""
        if self.stopping.is_set() or not self._waits_for_stop:
            serving.cancel()
        log.info("stopping", again=self.stopping.is_set())
        self.stopping.set()


def run_service(
    settings_type: type[SettingsT],
    serve: Callable[[SettingsT, Process], Awaitable[None]],
    argv: Sequence[str] | None = None,
) -> int:
    """Runs a service until it is told to stop.

    Args:
        settings_type: Its settings, read from ``argv`` and the environment.
        serve: The service; returning from it ends the process.
        argv: Arguments without the program's name; the process's own if not given.

    Returns:
        The exit code: 0 after a clean stop, 1 if the service failed, 2 if its settings are wrong. What a
        person can mend is one line on standard error; a defect is logged with its traceback.
    """
    name = settings_type.program()
    try:
        settings = load_settings(settings_type, sys.argv[1:] if argv is None else argv)
    except MoorageError as error:
        return _complain(name, error, EXIT_BAD_SETTINGS)
    configure_logs(level=settings.log_level, style=settings.log_format)
    try:
        with (
            Telemetry(
                service=name, traces=settings.traces, otlp_endpoint=settings.otlp_endpoint
            ) as telemetry,
            # Its loop costs half of what asyncio's own does for each byte that comes or goes.
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            runner.run(_run(name, telemetry, lambda process: serve(settings, process)))
    except MoorageError as error:
        return _complain(name, error, EXIT_FAILED)
    except Exception as error:
        log.critical("crashed", exc_info=error)
        return EXIT_FAILED
    return EXIT_OK


async def _run(name: str, telemetry: Telemetry, serve: Callable[[Process], Awaitable[None]]) -> None:
    async with TaskSupervisor() as tasks:
        process = Process(name=name, telemetry=telemetry, tasks=tasks)
        serving = asyncio.create_task(_as_coroutine(serve(process)), name=name)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, process.stop, serving)
        await asyncio.wait({serving})
        if not serving.cancelled():
            serving.result()
    log.info("stopped")


async def _as_coroutine(awaitable: Awaitable[None]) -> None:
    await awaitable


def _complain(name: str, error: MoorageError, code: int) -> int:
    sys.stderr.write(" ".join(f"{name}: {error.message} {error.remedy}".split()) + "\n")
    return code
