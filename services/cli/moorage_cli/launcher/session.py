"""One run of a mesh in the foreground: claim the directory, start, do something, stop."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator

from rich.console import Console

from moorage_cli.console import print_milestone
from moorage_cli.exits import EXIT_INTERRUPTED
from moorage_cli.launcher.events import ProcessEvent, ProcessEventKind
from moorage_cli.launcher.home import MeshHome
from moorage_cli.launcher.mesh import Mesh, MeshOptions
from moorage_cli.views.milestones import Mark
from moorage_cli.views.words import duration

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def run_mesh(options: MeshOptions, console: Console, body: Callable[[Mesh], Awaitable[int]]) -> int:
    """Runs a mesh for as long as `body` takes, or until a signal says to stop.

    Args:
        options: What it is made of.
        console: Is told what happens to the processes.
        body: What to do once the mesh is up; its answer is the exit code.

    Returns:
        The exit code: the body's, or that of an interruption if a signal came before the body was done.

    Raises:
        MoorageError: The mesh did not start, or the body failed. Everything has been stopped then, too.
    """
    with MeshHome(options.home.absolute()).claim():
        mesh = Mesh(options, report=lambda event: _tell(console, mesh, event))
        for note in mesh.notes:
            print_milestone(console, Mark.WAITING, "note", note)
        running = asyncio.create_task(_start_and_run(mesh, body), name="mesh")
        with _cancelled_by_signals(running):
            try:
                return await running
            except asyncio.CancelledError:
                return EXIT_INTERRUPTED
            finally:
                await _stop(mesh, console)


async def until_signal() -> int:
    """Waits until a signal comes, which is how it should end: the body of a mesh that just runs."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return 0


async def _start_and_run(mesh: Mesh, body: Callable[[Mesh], Awaitable[int]]) -> int:
    await mesh.start()
    return await body(mesh)


async def _stop(mesh: Mesh, console: Console) -> None:
    print_milestone(console, Mark.WAITING, "stopping", "the engines, then the mesh")
    await mesh.stop()
    print_milestone(console, Mark.DONE, "stopped", "everything")


@contextlib.contextmanager
def _cancelled_by_signals(task: asyncio.Task[int]) -> Iterator[None]:
    """Lets the first signal cancel the task. A second one of the same kind acts as the system has it."""
    loop = asyncio.get_running_loop()

    def cancel(sign: signal.Signals) -> None:
        loop.remove_signal_handler(sign)
        task.cancel()

    for sign in _STOP_SIGNALS:
        loop.add_signal_handler(sign, cancel, sign)
    try:
        yield
    finally:
        for sign in _STOP_SIGNALS:
            loop.remove_signal_handler(sign)


def _tell(console: Console, mesh: Mesh, event: ProcessEvent) -> None:
    match event.kind:
        case ProcessEventKind.READY:
            text = f"{mesh.addresses[event.name]}   {duration(event.seconds)}"
            print_milestone(console, Mark.DONE, event.name, text)
        case ProcessEventKind.WAITING:
            print_milestone(console, Mark.WAITING, event.name, f"not ready after {duration(event.seconds)}")
        case ProcessEventKind.DIED:
            text = f"{event.detail}; starting it again in {event.seconds:g} s"
            print_milestone(console, Mark.TROUBLE, event.name, text)
        case ProcessEventKind.STOPPED:
            return
    if event.last_line:
        console.print(f"                its last words: {event.last_line}", style="dim", markup=False)
