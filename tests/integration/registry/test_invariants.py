"""Many users, schedulers and agents at once, at random: what must always hold is read from the database afterwards."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import asyncpg
import pytest
from fleet_tools import GIB, Agent, Fleet

from moorage.registry.v1 import artifact_pb2, instance_pb2, model_pb2, model_service_pb2
from moorage_common.core.errors import Aborted, AlreadyExists, FailedPrecondition, NotFound

WORKERS = ("w1", "w2", "w3")
MODELS = tuple(f"m{number}" for number in range(6))
EXPECTED = (Aborted, AlreadyExists, FailedPrecondition, NotFound)
"""What losing a race may honestly answer; anything else is a defect."""

INVARIANTS = {
    "no pool gives out more than it has": "SELECT * FROM memory_pools WHERE claimed > capacity OR claimed < 0",
    "the ledger adds up": """
        SELECT p.worker_id, p.pool, p.claimed FROM memory_pools p
        LEFT JOIN claims c USING (worker_id, pool)
        GROUP BY p.worker_id, p.pool, p.claimed HAVING p.claimed <> coalesce(sum(c.size_bytes), 0)""",
    "every claim belongs to an instance that holds one": """
        SELECT c.* FROM claims c LEFT JOIN instances i ON i.uid = c.instance_uid
        WHERE i.state IS NULL OR i.state NOT IN ('STARTING', 'RUNNING', 'ERROR', 'UNREACHABLE', 'STOPPING')""",
    "every instance that holds a claim has one": """
        SELECT i.uid FROM instances i LEFT JOIN claims c ON i.uid = c.instance_uid
        WHERE i.state IN ('STARTING', 'RUNNING', 'ERROR', 'UNREACHABLE', 'STOPPING') AND c.pool IS NULL""",
    "an instance has a worker exactly where its state says so": """
        SELECT uid FROM instances WHERE (worker_id IS NULL) <> (state IN ('PENDING', 'STOPPED'))""",
    "an instance holds claims on each of its workers and on no other": """
        SELECT i.uid FROM instances i,
            LATERAL (SELECT array_agg(DISTINCT worker_id ORDER BY worker_id) AS held
                     FROM claims WHERE instance_uid = i.uid) c,
            LATERAL (SELECT array_agg(w ORDER BY w) AS named FROM unnest(i.worker_id || i.subordinates) w) n
        WHERE i.state IN ('STARTING', 'RUNNING', 'ERROR', 'UNREACHABLE', 'STOPPING')
            AND c.held IS DISTINCT FROM n.named""",
    "members are those of instances over several workers that hold claims": """
        SELECT i.uid FROM instances i,
            LATERAL (SELECT array_agg(worker_id ORDER BY rank) AS members
                     FROM instance_members WHERE instance_uid = i.uid) m
        WHERE m.members IS DISTINCT FROM CASE WHEN i.subordinates <> '{}'
            AND i.state IN ('STARTING', 'RUNNING', 'ERROR', 'UNREACHABLE', 'STOPPING')
            THEN i.worker_id || i.subordinates END""",
    "no worker takes part in two distributed vLLM instances": """
        SELECT m.worker_id FROM instance_members m JOIN instances i ON i.uid = m.instance_uid
        WHERE i.artifact_on_all GROUP BY m.worker_id HAVING count(*) > 1""",
    "what has stopped in part is stopping": """
        SELECT i.uid FROM instances i JOIN instance_members m ON m.instance_uid = i.uid
        WHERE m.state = 'STOPPED' AND i.state <> 'STOPPING'""",
    "a running model has its replicas": """
        SELECT m.id FROM models m LEFT JOIN instances i ON i.model_id = m.id AND NOT i.retiring
        WHERE m.desired_state = 'RUNNING' GROUP BY m.id, m.replicas HAVING count(i.uid) <> m.replicas""",
    "nothing waits for an artifact that nobody brings": """
        SELECT i.uid FROM instances i JOIN models m ON m.id = i.model_id,
            unnest(CASE WHEN i.artifact_on_all THEN i.worker_id || i.subordinates ELSE ARRAY[i.worker_id] END) w
        WHERE i.state = 'FETCHING' AND NOT EXISTS (
            SELECT 1 FROM artifact_copies c WHERE c.artifact_id = m.artifact_id AND c.worker_id = w)""",
    "what is fetched has its artifact wherever it is needed, unless it was lost since": """
        SELECT i.uid FROM instances i JOIN models m ON m.id = i.model_id,
            unnest(CASE WHEN i.artifact_on_all THEN i.worker_id || i.subordinates ELSE ARRAY[i.worker_id] END) w
        WHERE i.state = 'FETCHED' AND NOT EXISTS (SELECT 1 FROM artifact_copies c
            WHERE c.artifact_id = m.artifact_id AND c.worker_id = w AND c.state = 'READY')""",
    "revisions are consecutive": """
        SELECT revision FROM (SELECT revision, lag(revision) OVER (ORDER BY revision) AS before FROM events) e
        WHERE revision <> before + 1""",
}


class Chaos:
    """Random deeds against one registry."""

    def __init__(self, fleet: Fleet, agents: list[Agent], random: Random) -> None:
        self.fleet = fleet
        self.agents = agents
        self.random = random
        self.done = 0
        self.bound = 0
        self.spread = 0

    async def run(self, steps: int) -> None:
        deeds: list[Callable[[str], Awaitable[object]]] = [
            self.create, self.create, self.scale, self.fleet.start, self.fleet.start, self.fleet.stop,
            self.fleet.delete, self.resolve, self.resolve, self.nominate, self.nominate, self.nominate,
            self.copies, self.copies, self.copies, self.bind, self.bind, self.bind, self.bind, self.report,
            self.restart, self.nominate_over_several, self.bind_over_several, self.bind_over_several, self.stop_parts,
        ]  # fmt: skip
        for _ in range(steps):
            try:
                await self.random.choice(deeds)(self.random.choice(MODELS))
                self.done += 1
            except EXPECTED:
                pass

    async def create(self, model):
        await self.fleet.create(model, replicas=self.random.randint(1, 4), source=f"hf:a/{model}")

    async def scale(self, model):
        await self.fleet.client.models.UpdateModel(
            model_service_pb2.UpdateModelRequest(
                model=model_pb2.Model(name=f"models/{model}", replicas=self.random.randint(0, 5)),
                update_mask={"paths": ["replicas"]},
            )
        )

    async def resolve(self, _):
        artifact = self.random.choice(["a1", "a2"])
        await self.fleet.resolve_all(self.fleet.artifact(artifact, safetensors=artifact == "a2"))

    async def nominate(self, model):
        found = await self.fleet.instances(model)
        if found:
            await self.fleet.nominate(*((i, self.random.choice(["", *WORKERS])) for i in found))

    async def bind(self, model):
        found = await self.fleet.instances(model)
        bindings = [
            self.fleet.binding(i, i.worker.removeprefix("workers/") or self.random.choice(WORKERS))
            for i in found
        ]
        if bindings:
            results = await self.fleet.bind(*bindings)
            self.bound += sum(result.status.code == 0 for result in results)

    async def nominate_over_several(self, model):
        for instance in await self.fleet.instances(model):
            await self.fleet.nominate_over(instance, *self.several())

    async def bind_over_several(self, model):
        found = await self.fleet.instances(model)
        bindings = []
        for instance in found:
            primary = instance.worker.removeprefix("workers/")
            others = [worker for worker in self.several() if worker != primary]
            bindings.append(self.fleet.binding_over(instance, *([primary] if primary else []), *others))
        if bindings:
            results = await self.fleet.bind(*bindings)
            self.spread += sum(r.status.code == 0 and bool(r.instance.subordinates) for r in results)

    def several(self):
        return self.random.sample(WORKERS, self.random.randint(2, 3))

    async def stop_parts(self, model):
        for instance in await self.fleet.instances(model):
            for agent in self.random.sample(self.agents, len(self.agents)):
                await agent.report(
                    instance, instance_pb2.INSTANCE_STATE_STOPPED, generation=instance.generation
                )

    async def report(self, model):
        states = [
            instance_pb2.INSTANCE_STATE_STARTING, instance_pb2.INSTANCE_STATE_RUNNING,
            instance_pb2.INSTANCE_STATE_ERROR, instance_pb2.INSTANCE_STATE_STOPPED,
            instance_pb2.INSTANCE_STATE_STOPPED,
        ]  # fmt: skip
        for instance in await self.fleet.instances(model):
            generation = max(0, instance.generation - self.random.randint(0, 1))
            agent, state = self.random.choice(self.agents), self.random.choice(states)
            await agent.report(instance, state, generation=generation)

    async def restart(self, model):
        for instance in await self.fleet.instances(model):
            await self.fleet.restart(instance)

    async def copies(self, _):
        await self.random.choice(self.agents).report_copy(
            f"artifacts/{self.random.choice(['a1', 'a2'])}", artifact_pb2.COPY_STATE_READY
        )


@pytest.mark.rule("ledger")
@pytest.mark.parametrize("seed", [1, 2])
async def test_invariants_hold_whatever_happens_at_once(fleet, database, seed):
    agents: list[Agent] = []
    for number, worker in enumerate(WORKERS):
        registered = await fleet.register(worker, node=f"node-{number}", gpu_bytes=4 * GIB)
        agent = Agent(fleet.client, f"workers/{worker}", registered.lease_id)
        agents.append(agent)
        agent.beat()
    beating = [asyncio.create_task(agent.run()) for agent in agents]
    for agent in agents:
        await agent.until_desired(lambda _: True)
    crowd = [Chaos(fleet, agents, Random(f"{seed}-{number}")) for number in range(6)]
    await asyncio.gather(*(one.run(150) for one in crowd))
    for task in beating:
        task.cancel()
    assert sum(one.done for one in crowd) > 100
    connection = await asyncpg.connect(database.owner)
    broken = {name: found for name, query in INVARIANTS.items() if (found := await connection.fetch(query))}
    await connection.close()
    assert broken == {}
    assert sum(one.bound for one in crowd) > 0
    assert sum(one.spread for one in crowd) > 0
