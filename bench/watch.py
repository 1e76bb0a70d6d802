"""Watchers of two registries: how soon they hear of a change, and whether they hear of each, once, in order.

Half of the watchers hang on each registry. A third of the way one of them breaks off and resumes; half of the way the
registry that gives changes their order is killed: the other takes over, and the watchers of the dead one resume there.
Latency is from the transaction's begin, by the database's clock, to the watcher's hands: a little more than from the
commit. Everything runs on this one machine, the watchers too.
"""

import argparse
import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from lab.postgres import postgres, scratch
from lab.registries import Registry, registries
from moorage.registry.v1.model_pb2 import DESIRED_STATE_STOPPED, Model
from moorage.registry.v1.model_service_pb2 import CreateModelRequest, UpdateModelRequest
from moorage.registry.v1.watch_service_pb2 import WatchRequest, WatchResponse
from moorage_cli.launcher.pgurls import PostgresUrls
from moorage_common.core.errors import MoorageError
from moorage_common.rpc.channels import reading
from moorage_common.rpc.clients import RegistryClient

_MODELS = 20
_PATIENCE_S = 20.0


@dataclass
class Watcher:
    """One watcher, and what it saw."""

    clients: list[RegistryClient]
    """Where to watch: the first that answers."""
    revision: int
    """The last that it has."""
    latencies_ms: list[float] = field(default_factory=list)
    lost: int = 0
    repeated: int = 0
    out_of_order: int = 0
    resumed: int = 0
    break_off: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        while True:
            for client in self.clients:
                try:
                    await self._follow(client)
                except MoorageError:
                    self.resumed += 1

    async def _follow(self, client: RegistryClient) -> None:
        async with reading(client.watch.Watch(WatchRequest(after_revision=self.revision))) as events:
            async for event in events:
                self._take(event)
                if self.break_off.is_set():
                    self.break_off.clear()
                    self.resumed += 1
                    return

    def _take(self, event: WatchResponse) -> None:
        self.latencies_ms.append((time.time() - event.time.ToNanoseconds() / 1e9) * 1e3)
        step = event.revision - self.revision
        if step == 0:
            self.repeated += 1
        elif step < 0:
            self.out_of_order += 1
        else:
            self.lost += step - 1
        self.revision = max(self.revision, event.revision)


async def measure(
    urls: PostgresUrls, home: Path, *, watchers: int, changes: int, rate: float
) -> dict[str, float]:
    async with registries(urls, home, 2) as both:
        clients = [registry.client() for registry in both]
        for number in range(_MODELS):
            model = Model(source="hf:acme/tiny/model.gguf", desired_state=DESIRED_STATE_STOPPED)
            await clients[0].models.CreateModel(CreateModelRequest(model_id=f"model-{number}", model=model))
        start = await _newest(urls)
        # A channel of its own for each, as watchers of a fleet have.
        channels = [[both[(n + i) % 2].client() for i in range(2)] for n in range(watchers)]
        played = [Watcher(own, start) for own in channels]
        running = [asyncio.create_task(watcher.run()) for watcher in played]
        await asyncio.sleep(2)
        try:
            await _change(clients, both, played, changes=changes, rate=rate)
            newest = await _newest(urls)
            await _until_all_have(played, newest)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            for client in (*clients, *(client for own in channels for client in own)):
                await client.close()
    return _result(played, newest, changes)


async def _change(
    clients: list[RegistryClient], both: list[Registry], played: list[Watcher], *, changes: int, rate: float
) -> None:
    """Makes changes at a steady rate, through whichever registry answers."""
    started = time.perf_counter()
    alive = list(clients)
    made = []
    for number in range(changes):
        if number == changes // 3:
            random.choice(played).break_off.set()
        if number == changes // 2:
            both[0].kill()
            alive = clients[1:]
        await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
        made.append(asyncio.create_task(_relabel(alive[number % len(alive)], number)))
    await asyncio.gather(*made)


async def _relabel(client: RegistryClient, number: int) -> None:
    model = Model(name=f"models/model-{number % _MODELS}", labels={"turn": str(number)})
    await client.models.UpdateModel(UpdateModelRequest(model=model, update_mask={"paths": ["labels"]}))


async def _until_all_have(played: list[Watcher], revision: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while any(watcher.revision < revision for watcher in played) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)


async def _newest(urls: PostgresUrls) -> int:
    connection = await asyncpg.connect(urls.owner)
    while await connection.fetchval("SELECT count(*) FROM outbox"):
        await asyncio.sleep(0.01)
    revision: int = await connection.fetchval("SELECT revision FROM watch_state")
    await connection.close()
    return revision


def _result(played: list[Watcher], newest: int, changes: int) -> dict[str, float]:
    latencies = sorted(latency for watcher in played for latency in watcher.latencies_ms)
    share = {percent: latencies[int(len(latencies) * percent / 100)] for percent in (50, 90, 99)}
    said = ", ".join(f"p{percent} {value:.1f} ms" for percent, value in share.items())
    print(
        f"{len(played)} watchers, {changes} changes, {len(latencies)} events: {said}, max {latencies[-1]:.0f} ms"
    )
    print(f"{sum(watcher.resumed > 0 for watcher in played)} watchers resumed")
    return {
        "p99_ms": round(share[99], 1),
        "lost": sum(watcher.lost + newest - watcher.revision for watcher in played),
        "repeated": sum(watcher.repeated for watcher in played),
        "out_of_order": sum(watcher.out_of_order for watcher in played),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--watchers", type=int, default=100)
    parser.add_argument("--changes", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=50.0, help="changes a second")
    options = parser.parse_args()
    with scratch() as home, postgres(home) as urls:
        result = asyncio.run(
            measure(urls, home, watchers=options.watchers, changes=options.changes, rate=options.rate)
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
