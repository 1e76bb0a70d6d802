"""When a loop looks again: something changed, it asked to, or it has been a while."""

import asyncio

from moorage_common.rpc.informer import Informer


class Changes:
    """Wakes one loop.

    Args:
        informer: Whose changes wake it.
        poll_interval_s: How long it sleeps at most, in seconds: what a cache cannot show, like a lease of somebody
            else that lapsed, is found that way.
    """

    def __init__(self, informer: Informer, *, poll_interval_s: float) -> None:
        self._informer = informer
        self._poll_interval_s = poll_interval_s
        self._generation = 0
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Wakes the loop soon."""
        self._asked.set()

    async def wait(self) -> bool:
        """Waits until the loop should look again; False when it is only because it has been a while."""
        changed = asyncio.create_task(self._informer.changed(since=self._generation))
        asked = asyncio.create_task(self._asked.wait())
        try:
            done, _ = await asyncio.wait(
                {changed, asked}, timeout=self._poll_interval_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            changed.cancel()
            asked.cancel()
        if changed in done:
            self._generation = changed.result()
        self._asked.clear()
        return bool(done)
