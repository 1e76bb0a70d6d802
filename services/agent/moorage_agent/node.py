"""The node's loop: what should be, what is, what to do, what to tell. Again whenever something changes."""

import asyncio

from moorage_agent.core.domain import (
    Action,
    Actual,
    DesiredState,
    DropCopy,
    FetchCopy,
    ForgetEngine,
    StartEngine,
    StopEngine,
)
from moorage_agent.core.outbox import Outbox
from moorage_agent.core.reconcile import reconcile
from moorage_agent.core.reports import copy_reports, instance_reports
from moorage_agent.engines.manager import EngineManager
from moorage_agent.storage.copies import CopyManager
from moorage_common.core.clock import Clock
from moorage_common.core.states import CopyState

_ON_ITS_WAY = frozenset({CopyState.FETCHING, CopyState.VERIFYING})
_PROGRESS_EVERY_S = 0.5
_RECHECK_EVERY_S = 30.0


class NodeLoop:
    """Brings the node to where it should be."""

    def __init__(
        self,
        *,
        engines: EngineManager,
        copies: CopyManager,
        outbox: Outbox,
        wake: asyncio.Event,
        outbox_changed: asyncio.Event,
        clock: Clock,
    ) -> None:
        """Takes what it moves.

        Args:
            engines: The node's engines.
            copies: The node's artifacts.
            outbox: Gets what the registry is to be told.
            wake: Set by whatever changes something.
            outbox_changed: Set after each look.
            clock: For what is due.
        """
        self._engines = engines
        self._copies = copies
        self._outbox = outbox
        self._wake = wake
        self._outbox_changed = outbox_changed
        self._clock = clock
        self._desired: DesiredState | None = None
        self._swept = False

    def set_desired(self, desired: DesiredState) -> None:
        """Takes on a new desired state."""
        self._desired = desired
        self._wake.set()

    async def run(self) -> None:
        """Reconciles for ever."""
        while True:
            self._wake.clear()
            wake_at = await self._step()
            try:
                async with asyncio.timeout(self._patience(wake_at)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def recheck_copies(self) -> None:
        """Looks every now and then whether somebody took files away. Runs for ever."""
        while True:
            await asyncio.sleep(_RECHECK_EVERY_S)
            await self._copies.recheck()

    async def _step(self) -> float | None:
        """Does what is to be done now; returns when to look again, in seconds of the monotonic clock."""
        desired = self._desired
        if desired is not None and not self._swept:
            await self._copies.sweep(desired.copies)
            self._swept = True
        plan = reconcile(desired, self._actual(), now=self._clock.monotonic())
        for action in plan.actions:
            self._do(action)
        actual = self._actual()
        self._outbox.put([*instance_reports(desired, actual), *copy_reports(desired, actual)])
        self._outbox_changed.set()
        return plan.wake_at

    def _do(self, action: Action) -> None:
        match action:
            case StartEngine(assignment=assignment):
                self._engines.start(assignment)
            case StopEngine(uid=uid):
                self._engines.stop(uid)
            case ForgetEngine(uid=uid):
                self._engines.forget(uid)
            case FetchCopy():
                self._copies.fetch(action)
            case DropCopy(artifact=artifact):
                self._copies.drop(artifact)

    def _actual(self) -> Actual:
        return Actual(engines=self._engines.statuses(), copies=self._copies.statuses())

    def _patience(self, wake_at: float | None) -> float | None:
        waits = [] if wake_at is None else [max(0.0, wake_at - self._clock.monotonic())]
        if any(copy.state in _ON_ITS_WAY for copy in self._copies.statuses()):
            waits.append(_PROGRESS_EVERY_S)
        return min(waits, default=None)
