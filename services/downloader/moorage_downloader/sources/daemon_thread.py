"""Blocking calls that nobody has to wait for: a process that ends leaves them behind."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

ResultT = TypeVar("ResultT")


async def run_in_daemon_thread(function: Callable[[], ResultT]) -> ResultT:
    """Runs a blocking function in a thread of its own.

    Unlike the threads of an executor, which the interpreter joins, one that hangs does not hold up the end of
    the process. A caller that is cancelled leaves its thread to finish by itself.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[ResultT] = loop.create_future()

    def settle(result: ResultT | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # None only where ResultT allows it

    def run() -> None:
        result, error = None, None
        try:
            result = function()
        except BaseException as raised:  # noqa: BLE001 (it is raised again, in the caller's task)
            error = raised
        # The loop may have been closed meanwhile: then nobody waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="blocking-call", daemon=True).start()
    return await done
