"""Answers calls that come at the same time together: while one batch is at work, those who come gather for the next.

Alone, a call waits for nobody. Under load, statements grow with batches and not with calls.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from moorage_common.core.errors import MoorageError, Unavailable

I = TypeVar("I")  # noqa: E741 - an item
A = TypeVar("A")


class Gathering(Generic[I, A]):
    """Gathers calls of one kind."""

    def __init__(self, work: Callable[[Sequence[I]], Awaitable[Sequence[A]]], *, most: int) -> None:
        """Takes what is done for them.

        Args:
            work: Returns an answer per item, in their order. It does its work for all of them or for none.
            most: Items that are worked on together at most.
        """
        self._work = work
        self._most = most
        self._waiting: list[tuple[I, asyncio.Future[A]]] = []
        self._running: asyncio.Task[None] | None = None

    async def ask(self, item: I) -> A:
        """Returns the answer for one item: what another one is refused for does not concern it.

        Raises:
            MoorageError: What the work raises for it.
        """
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        # Who leaves does not take the others along.
        return await asyncio.shield(answer)

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await self._answer(batch)
        finally:
            self._running = None

    async def _answer(self, batch: Sequence[tuple[I, asyncio.Future[A]]]) -> None:
        try:
            answers = await self._work([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - those who asked are told
            refused = isinstance(error, MoorageError) and not isinstance(error, Unavailable)
            if refused and len(batch) > 1:
                for each in batch:
                    await self._answer([each])
                return
            for _, answer in batch:
                answer.set_exception(error)
                # Who left meanwhile asks no more; its answer is not a defect.
                answer.exception()
            return
        for (_, answer), found in zip(batch, answers, strict=True):
            answer.set_result(found)
