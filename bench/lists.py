"""How long a list takes among many instances: filtered, ordered, page by page.

A real PostgreSQL with its rows written straight into it, and the registry's own listing on top of it.

Prints a table; the last line is one JSON object: the medians in milliseconds, by query.
"""

import argparse
import asyncio
import json
import shutil
import socket
import statistics
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from moorage.common.v1 import placement_pb2
from moorage.registry.v1.instance_service_pb2 import ListInstancesRequest
from moorage_cli.launcher.postgres import EmbeddedPostgres
from moorage_common.core.placement import PlacementReason
from moorage_common.core.states import DesiredState, InstanceState, WorkerState
from moorage_common.rpc.enums import PLACEMENT_REASON
from moorage_registry.convert.events import encode_change
from moorage_registry.convert.instances import explanation_from_proto
from moorage_registry.convert.json import to_json
from moorage_registry.core.records import Instance, Model, Worker
from moorage_registry.store import listing
from moorage_registry.store.database import Database, Transaction
from moorage_registry.store.lists import INSTANCE_LIST
from moorage_registry.store.migrate import migrate
from moorage_registry.store.tables import INSTANCES, MODELS, WORKERS

_MODELS, _WORKERS = 100, 200
_START = datetime(2026, 1, 1, tzinfo=UTC)

QUERIES = {
    "no filter": ("", ""),
    "half of them": ("state = RUNNING", ""),
    "one of a hundred models, by name": ('name = "models/m7/instances/*"', ""),
    "one of 200 workers": ("worker = workers/w7", ""),
    "nothing, in JSON": ('explanation.summary = "*nowhere*"', ""),
    "ordered by two fields": ("", "restart_count desc, state_time"),
    "filtered and ordered": (
        "state = RUNNING AND restart_count > 1 AND (endpoint:* OR error:*)",
        "state_time desc",
    ),
}


def instances(count: int) -> list[Instance]:
    """Instances with placements and explanations as large as those of a scheduler."""
    random = Random(1)
    explanation = placement_pb2.Explanation(
        verdict=placement_pb2.VERDICT_PLACED,
        summary="It fits the fullest worker that has room.",
        workers_considered=200,
    )
    for reason in PlacementReason:
        explanation.reason_counts.add(reason=PLACEMENT_REASON.to_proto(reason), worker_count=7)
    placement = placement_pb2.Placement(
        worker="workers/w1", gpu_layers=33, total_layers=33, context_length=8192
    )
    one = Instance(
        uid="",
        created_at=_START,
        updated_at=_START,
        model_id="",
        id="",
        state=InstanceState.PENDING,
        state_at=_START,
        placement=to_json(placement),
        **explanation_from_proto(explanation).fields,
    )
    return [
        replace(
            one,
            uid=f"uid-{number}",
            model_id=f"m{number % _MODELS}",
            id=f"i{number}",
            state=random.choice([InstanceState.RUNNING, InstanceState.PENDING]),
            state_at=_START + timedelta(seconds=random.randrange(count)),
            worker_id=f"w{random.randrange(_WORKERS)}",
            endpoint=random.choice(["", "http://10.0.0.7:41234/v1"]),
            restart_count=random.randrange(4),
        )
        for number in range(count)
    ]


async def fill(database: Database, count: int) -> None:
    known = {"created_at": _START, "updated_at": _START}

    async def work(tx: Transaction) -> None:
        workers = [
            Worker(uid=f"w{n}", id=f"w{n}", node_id=f"n{n}", state=WorkerState.READY, facts={}, **known)
            for n in range(_WORKERS)
        ]
        models = [
            Model(uid=f"m{n}", id=f"m{n}", source="hf:a/b", desired_state=DesiredState.RUNNING, **known)
            for n in range(_MODELS)
        ]
        await WORKERS.insert(tx, workers)
        await MODELS.insert(tx, models)
        await INSTANCES.insert(tx, instances(count))

    await database.transact(work)


async def one_page(database: Database, request: ListInstancesRequest) -> tuple[int, str, float]:
    """Returns how many rows the page has, the next one's token, and its milliseconds."""
    started = time.perf_counter()
    async with database.read() as connection:
        found, token = await listing.page(connection, INSTANCE_LIST, request, query="bench")
    return len(found), token, (time.perf_counter() - started) * 1000


async def measure(database: Database, rounds: int) -> dict[str, float]:
    medians = {}
    print(f"{'query':36} {'page 1 ms':>10} {'worst':>7} {'page 2 ms':>10} {'rows':>5}")
    for title, (filter_, order_by) in QUERIES.items():
        asked = ListInstancesRequest(page_size=100, filter=filter_, order_by=order_by)
        rows, token, _ = await one_page(database, asked)
        first = [(await one_page(database, asked))[2] for _ in range(rounds)]
        second = [0.0]
        if token:
            asked.page_token = token
            second = [(await one_page(database, asked))[2] for _ in range(rounds)]
        medians[title] = round(statistics.median(first), 2)
        print(
            f"{title:36} {medians[title]:10.1f} {max(first):7.1f} {statistics.median(second):10.1f} {rows:5}"
        )
    return medians


async def run(url: str, owner: str, count: int, rounds: int) -> dict[str, float]:
    await migrate(owner)
    database = Database(url, encode_event=encode_change)
    try:
        await fill(database, count)
        return await measure(database, rounds)
    finally:
        await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="moorage-bench-"))
    home.chmod(0o711)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = EmbeddedPostgres(home / "data", port=port, durable=False)
    try:
        urls = server.start()
        print(json.dumps(asyncio.run(run(urls.application, urls.owner, options.instances, options.rounds))))
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
