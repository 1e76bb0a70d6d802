"""A cache of the registry's resources that keeps itself up to date: list, watch, resume.

    informer = Informer(registry.watch)
    process.tasks.start("informer", informer.run)
    await informer.wait_synced()
    generation = 0
    while True:
        generation = await informer.changed(since=generation)
        act_on(informer.snapshot())

It is level-triggered: whoever missed changes sees the state that they led to. When the stream breaks it
is taken up from the last revision; when the registry no longer keeps that, the whole state is read again.
"""

import asyncio
from collections.abc import Sequence
from random import Random

from moorage.registry.v1.watch_service_pb2 import ResourceKind, WatchOperation, WatchRequest
from moorage.registry.v1.watch_service_pb2_grpc import WatchServiceStub
from moorage_common.core.backoff import Backoff, BackoffPolicy
from moorage_common.core.errors import MoorageError, OutOfRange
from moorage_common.rpc.cache import CacheSnapshot, ResourceCache
from moorage_common.rpc.channels import reading
from moorage_common.runtime.logs import get_logger

log = get_logger(__name__)

_BATCH = 500
"""Events in one response, at most."""


class Informer:
    """Follows the registry's changes for as long as `run` runs."""

    def __init__(
        self,
        watch: WatchServiceStub,
        *,
        kinds: Sequence[ResourceKind.ValueType] = (),
        backoff: BackoffPolicy | None = None,
        random: Random | None = None,
    ) -> None:
        """Makes a cache that is empty until `run` runs.

        Args:
            watch: The registry's watch service.
            kinds: The kinds of resources to follow; all if empty.
            backoff: Between tries to reach the registry.
            random: For the back-off's jitter.
        """
        self._watch = watch
        self._kinds = tuple(kinds)
        self._backoff = Backoff(backoff or BackoffPolicy(cap_s=5), random or Random())
        self._cache = ResourceCache()
        self._synced = asyncio.Event()
        self._next_change = asyncio.Event()

    async def run(self) -> None:
        """Follows the registry until cancelled, through its restarts."""
        while True:
            try:
                await self._follow()
            except OutOfRange as error:
                log.info("reading the whole state again", error=error.message)
                self._cache.restart()
            except MoorageError as error:
                log.info("watch broke", error=error.message, reason=error.reason.value)
            await asyncio.sleep(self._backoff.next_delay_s())

    async def wait_synced(self) -> None:
        """Waits until the first whole state is there."""
        await self._synced.wait()

    @property
    def synced(self) -> bool:
        """Whether the first whole state is there."""
        return self._synced.is_set()

    def snapshot(self) -> CacheSnapshot:
        """Returns what is known now; empty before the first whole state."""
        return self._cache.snapshot()

    async def changed(self, *, since: int) -> int:
        """Waits until the cache has changed.

        Args:
            since: The generation that the caller has seen; 0 if none.

        Returns:
            The generation now; a snapshot taken right after has it.
        """
        while self._cache.generation == since:
            await self._next_change.wait()
        return self._cache.generation

    async def _follow(self) -> None:
        revision = self._cache.revision
        if not revision:
            self._cache.restart()
        request = WatchRequest(
            after_revision=revision, initial_state=not revision, kinds=self._kinds, max_batch=_BATCH
        )
        async with reading(self._watch.Watch(request)) as responses:
            async for response in responses:
                self._backoff.reset()
                before = self._cache.generation
                # A registry of before batches sends each event as a response.
                for event in response.events or [response]:
                    self._cache.apply(event)
                    if event.operation == WatchOperation.WATCH_OPERATION_BOOKMARK:
                        self._synced.set()
                if self._cache.generation != before:
                    self._next_change.set()
                    self._next_change = asyncio.Event()
