"""`moor drain`: empties a worker."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from rich.console import Console

from moorage.registry.v1.worker_service_pb2 import DrainWorkerRequest, DrainWorkerResponse
from moorage_cli import connect
from moorage_cli.console import make_console, print_milestone, show
from moorage_cli.exits import EXIT_UNFINISHED
from moorage_cli.names import worker_of
from moorage_cli.progress import PageView
from moorage_cli.results import Output, Result
from moorage_cli.target import MeshTarget
from moorage_cli.views.draining import drain_status, left_line
from moorage_cli.views.milestones import Mark
from moorage_cli.views.words import short
from moorage_common.core.errors import DeadlineExceeded, Unavailable
from moorage_common.core.ids import new_uid
from moorage_common.rpc.channels import reading
from moorage_common.rpc.clients import RegistryClient

_RESUME_AFTER_S = 0.5


class _Drain:
    """One drain as it is looked on."""

    def __init__(self, worker: str, console: Console) -> None:
        self._worker = worker
        self._console = console
        self.last: DrainWorkerResponse | None = None
        """What the registry said last. None: nothing yet, and maybe it has not begun."""

    async def follow(self, registry: RegistryClient, *, wait: bool) -> bool:
        """Begins the drain and shows it until nothing is left, or only its beginning; returns whether it is done."""
        seen: list[str] = []
        with PageView(self._console) as view:
            async with contextlib.aclosing(self._watched(registry)) as watched:
                async for progress in watched:
                    if self.last is None:
                        print_milestone(self._console, Mark.DONE, "cordoned", self._worker)
                    self.last = progress
                    status = drain_status(progress, seen)
                    seen = [each.instance for each in progress.instances]
                    view.show(status.milestones, status.remaining)
                    if status.done or not wait:
                        break
        if status.done:
            told = f"nothing is left on {self._worker}; it stays cordoned"
            print_milestone(self._console, Mark.DONE, "drained", told)
        return status.done

    def tell_left(self, how: str) -> None:
        """Tells that a drain that was begun goes on without us."""
        if self.last is None:
            return
        who = short(self._worker)
        self._console.print(f"{how}; {left_line(self.last)}.", markup=False)
        self._console.print(
            f"The drain goes on. Look on again: moor drain {who}. Call it off: moor uncordon {who}.",
            style="dim",
        )

    async def _watched(self, registry: RegistryClient) -> AsyncGenerator[DrainWorkerResponse, None]:
        """Yields how far it is each time that it changed; takes up a broken stream, which goes on by itself."""
        request = DrainWorkerRequest(name=self._worker, request_id=new_uid())
        while True:
            try:
                async with reading(registry.workers.DrainWorker(request)) as events:
                    async for event in events:
                        yield event
            except Unavailable:
                if self.last is None:
                    raise
            await asyncio.sleep(_RESUME_AFTER_S)


async def run(target: MeshTarget, *, worker: str, wait: bool, timeout_s: float | None, output: Output) -> int:
    """Drains a worker; with `wait`, returns once nothing is left on it."""
    name = worker_of(worker)
    console = make_console(stderr=True)
    drain = _Drain(name, console)
    async with connect.registry(target) as registry:
        try:
            code = await _follow(drain, registry, wait=wait, timeout_s=timeout_s)
        except asyncio.CancelledError:
            drain.tell_left("No longer followed")
            raise
    if drain.last is not None:
        data = {"worker": drain.last.worker, "instances": list(drain.last.instances)}
        show(output, Result(data=data, names=[each.instance for each in drain.last.instances]))
    return code


async def _follow(drain: _Drain, registry: RegistryClient, *, wait: bool, timeout_s: float | None) -> int:
    try:
        async with asyncio.timeout(timeout_s):
            done = await drain.follow(registry, wait=wait)
    except TimeoutError:
        if drain.last is None:
            raise DeadlineExceeded(f"the registry did not answer within {timeout_s:g} s") from None
        drain.tell_left(f"Not empty after {timeout_s:g} s")
        return EXIT_UNFINISHED
    if not done:
        drain.tell_left("Begun")
    return 0
