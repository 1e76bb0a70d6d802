"""What the order of all changes costs: commits a second without and with the outbox and its sequencer.

Both sides run the same transaction, of the registry's own code: lock one model, change a label, write it. One of them
also tells the outbox, while the sequencer gives revisions to what comes in.
"""

import argparse
import asyncio
import json
import statistics
import time
from dataclasses import replace
from datetime import UTC, datetime

from lab.postgres import postgres, scratch
from moorage_common.core.ids import new_uid
from moorage_common.core.states import DesiredState
from moorage_registry.convert.events import encode_change
from moorage_registry.core.records import Model
from moorage_registry.store import schema
from moorage_registry.store.database import Database, Transaction
from moorage_registry.store.migrate import migrate
from moorage_registry.store.table_map import RecordTable
from moorage_registry.store.tables import MODELS
from moorage_registry.watch.sequencer import Sequencer

_SILENT = RecordTable(schema.models, Model, key=["id"], as_resource=None)
"""The models' table, written without telling anybody."""


async def measure(url: str, *, writers: int, seconds: float, rounds: int) -> tuple[float, float]:
    database = Database(url, encode_event=encode_change, pool_size=writers + 2)
    sequencer = Sequencer(database, url)
    await database.transact(lambda tx: _SILENT.insert(tx, [_model(n) for n in range(writers)]))
    plain, told = [], []
    try:
        await _rate(database, _SILENT, writers, 1.0)  # Warms up statements and caches.
        for _ in range(rounds):
            plain.append(await _rate(database, _SILENT, writers, seconds))
            running = asyncio.create_task(sequencer.run())
            told.append(await _rate(database, MODELS, writers, seconds))
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    finally:
        await database.close()
    return statistics.median(plain), statistics.median(told)


async def _rate(database: Database, table: RecordTable[Model], writers: int, seconds: float) -> float:
    """Commits a second of so many writers, each on a row of its own."""
    until = time.perf_counter() + seconds
    started = time.perf_counter()
    counts = await asyncio.gather(*(_write(database, table, n, until) for n in range(writers)))
    return sum(counts) / (time.perf_counter() - started)


async def _write(database: Database, table: RecordTable[Model], number: int, until: float) -> int:
    async def work(tx: Transaction) -> None:
        [model] = await table.lock(tx, schema.models.c.id == f"model-{number}")
        await table.save(tx, [replace(model, labels={"turn": str(count)})])

    count = 0
    while time.perf_counter() < until:
        await database.transact(work)
        count += 1
    return count


def _model(number: int) -> Model:
    now = datetime.now(UTC)
    return Model(
        uid=new_uid(),
        created_at=now,
        updated_at=now,
        id=f"model-{number}",
        source="hf:acme/tiny/model.gguf",
        desired_state=DesiredState.STOPPED,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with scratch() as home, postgres(home) as urls:
        asyncio.run(migrate(urls.owner))
        plain, told = asyncio.run(
            measure(urls.application, writers=options.writers, seconds=options.seconds, rounds=options.rounds)
        )
    print(f"plain {plain:.0f}/s, with outbox and sequencer {told:.0f}/s: {1 - told / plain:.1%} slower")
    print(json.dumps({"plain_per_s": round(plain), "with_outbox_per_s": round(told)}))


if __name__ == "__main__":
    main()
