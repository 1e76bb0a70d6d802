"""The loop that places what waits: it acts when something happened that could help, never on a timer.

    informer ──► mirror ──► snapshot ──► place, one after the other ──► bulk RPCs ──► per-item results ──┐
                   ▲                     (each counts for the next)                                      │
                   └─────────────────── instances as the registry answered them ◄───────────────────────┘

Any number of schedulers may run. Each decision names the etag of the instance that it was made on, and claims
are checked by the registry: whoever comes second is refused, and looks again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Protocol

from moorage.registry.v1.instance_pb2 import Instance
from moorage_common.core.errors import MoorageError
from moorage_common.rpc.cache import CacheSnapshot
from moorage_common.runtime.logs import get_logger
from moorage_scheduler.commit import Committed
from moorage_scheduler.core.pipeline import place, place_there
from moorage_scheduler.core.policy import ScoringPolicy
from moorage_scheduler.core.request import Request, tenant_of
from moorage_scheduler.core.snapshot import Snapshot
from moorage_scheduler.decisions import Action, Decision, decide, is_fetched
from moorage_scheduler.mirror import Mirror
from moorage_scheduler.predictor import Predict
from moorage_scheduler.retries import Retries

log = get_logger(__name__)

_BULK = 100
"""Instances placed on one snapshot and sent in one call."""
_TURNS = 5000
"""Instances among which each scheduler has an order of its own: two of them seldom decide on the same ones."""
_GATHER_S = 0.01
"""How long to gather changes before looking at them: they come in bursts, one event per resource."""


class Changes(Protocol):
    """Where the registry's resources come from: `moorage_common.rpc.informer.Informer`."""

    @property
    def synced(self) -> bool:
        """Whether the first whole state is there."""
        ...

    def snapshot(self) -> CacheSnapshot:
        """Returns what is known now."""
        ...

    async def changed(self, *, since: int) -> int:
        """Waits until the cache differs from a generation."""
        ...


Commit = Callable[[Sequence[Decision]], Awaitable[Sequence[Committed]]]
"""Sends decisions to the registry; one result per decision, in the same order."""


class Loop:
    """Places what waits, for as long as `run` runs."""

    def __init__(
        self,
        *,
        changes: Changes,
        mirror: Mirror,
        commit: Commit,
        retries: Retries,
        policy: ScoringPolicy,
        predict: Predict,
        explain_workers: int,
        random: Random,
    ) -> None:
        """Takes what it works with.

        Args:
            changes: Tells of changes.
            mirror: What is known; shared with whoever else asks about it.
            commit: Sends decisions.
            retries: When refused instances are tried again.
            policy: What is preferred.
            predict: Tells how fast a placement should be.
            explain_workers: How many workers a recorded explanation lists at most.
            random: Makes this scheduler's own order.
        """
        self._changes = changes
        self._mirror = mirror
        self._commit = commit
        self._retries = retries
        self._policy = policy
        self._predict = predict
        self._explain_workers = explain_workers
        self._random = random

    async def run(self) -> None:
        """Places what waits now, then whatever changes let hope for, until cancelled."""
        generation, everything = 0, True
        while True:
            self._mirror.sync(self._changes.snapshot())
            everything |= self._mirror.take_hope()
            waiting = self._mirror.waiting()
            self._retries.retain(
                waiting={instance.name for instance in waiting}, known=self._mirror.instances
            )
            due = self._retries.due()
            await self._place_all([item for item in waiting if everything or item.name in due])
            everything = False
            generation = await self._something(since=generation)

    async def _something(self, *, since: int) -> int:
        """Waits for a change, or for the end of a wait after a refusal."""
        try:
            async with asyncio.timeout(self._retries.next_due_in()):
                generation = await self._changes.changed(since=since)
        except TimeoutError:
            return since
        await asyncio.sleep(_GATHER_S)
        return generation

    async def _place_all(self, waiting: Sequence[Instance]) -> None:
        ready = self._in_turn([instance for instance in waiting if self._retries.may_try(instance.name)])
        for start in range(0, len(ready), _BULK):
            decisions = await self._decide(ready[start : start + _BULK])
            if decisions:
                await self._send(decisions)
                self._mirror.sync(self._changes.snapshot())

    def _in_turn(self, ready: Sequence[Instance]) -> list[Instance]:
        """Of few all in their order; of many each five thousand in an order of this scheduler's own."""
        if len(ready) <= _BULK:
            return list(ready)
        turns = [ready[start : start + _TURNS] for start in range(0, len(ready), _TURNS)]
        return [instance for turn in turns for instance in self._random.sample(turn, len(turn))]

    async def _decide(self, waiting: Sequence[Instance]) -> list[Decision]:
        """Places instances on one snapshot, each as if those before it were bound already."""
        snapshot = self._mirror.snapshot()
        decisions: list[Decision] = []
        for instance in waiting:
            # Placing is all computation: let calls and events in between.
            await asyncio.sleep(0)
            if self._mirror.instances.get(instance.name) is not instance:
                continue
            request = self._mirror.request_for(instance)
            if request is None:
                self._retries.passed(instance.name, settled=True)
                continue
            decision = self._decision(snapshot, instance, request)
            if decision is None:
                self._retries.passed(instance.name, settled=True)
                continue
            if decision.action is Action.BIND and decision.placement:
                predicted = self._predict(snapshot, request, decision.placement)
                decision = replace(decision, predicted=predicted)
            decisions.append(decision)
            if decision.placement:
                snapshot = snapshot.with_tenant(instance.name, tenant_of(request.model, decision.placement))
        return decisions

    def _decision(self, snapshot: Snapshot, instance: Instance, request: Request) -> Decision | None:
        there = place_there(snapshot, request, self._policy) if is_fetched(instance) else None
        if there is not None:
            return Decision(instance=instance, action=Action.BIND, placement=there, explanation=None)
        outcome = place(snapshot, request, self._policy, explain_workers=self._explain_workers)
        holders = snapshot.copies.get(request.artifact, frozenset())
        return decide(instance, outcome, holders=holders)

    async def _send(self, decisions: Sequence[Decision]) -> None:
        try:
            results = await self._commit(decisions)
        except MoorageError as error:
            for decision in decisions:
                self._retries.refused(decision.instance.name)
            log.warning("the registry did not take decisions", error=error.message, decisions=len(decisions))
            return
        for decision, result in zip(decisions, results, strict=True):
            self._note(decision, result)

    def _note(self, decision: Decision, result: Committed) -> None:
        name, worker = decision.instance.name, decision.placement.worker if decision.placement else ""
        if result.instance is not None:
            self._mirror.learn(result.instance)
        if result.error is None:
            self._retries.passed(name, settled=decision.action is not Action.NOMINATE)
            log.info(
                decision.action.value.lower(),
                instance=name,
                worker=worker,
                why=decision.why,
            )
        else:
            delay = self._retries.refused(name)
            log.info(
                "refused",
                instance=name,
                worker=worker,
                reason=result.error.reason.value,
                why=result.error.message,
                retry_in_s=round(delay, 3),
            )
