"""Heartbeats of many agents on one registry: what they cost the database, and that no lease is lost.

Statements are counted in PostgreSQL's own log, everything included (BEGIN and COMMIT as well), while nothing but
heartbeats goes on; every agent reports a changed measurement once a minute, of its node and of its instances. Then
the registry is killed, and another one takes its place: no agent may lose the lease that it was promised.
"""

import argparse
import asyncio
import json
import re
from pathlib import Path

import asyncpg

from lab.agents import PlayedAgent
from lab.population import populate
from lab.postgres import postgres, scratch
from lab.registries import Registry, registries
from moorage_cli.launcher.pgurls import PostgresUrls
from moorage_common.rpc.clients import RegistryClient

_STATEMENT = re.compile(rb"LOG:  (statement|execute [^:]*): ")
_PER_CHANNEL = 50


async def measure(
    urls: PostgresUrls, home: Path, *, workers: int, instances: int, seconds: float
) -> dict[str, float]:
    async with registries(urls, home, 1) as [registry], registry.client() as client:
        clients = [registry.client() for _ in range(0, workers, _PER_CHANNEL)]
        agents = [PlayedAgent(n, clients[n // _PER_CHANNEL]) for n in range(workers)]
        running: list[asyncio.Task[None]] = []
        try:
            for agent in agents:
                await agent.register()
                running.append(asyncio.create_task(agent.run()))
            await _all_connected(agents)
            await populate(client, agents, instances)
            log = home / "postgres" / "postgres.log"
            statements_per_s, cpu = await _count(urls, registry, log, seconds)
            killed_s = await _kill(registry, agents)
            lost = sum(agent.lost for agent in agents)
            away = await _unreachable(urls)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await _close(clients)
    print(f"{workers} agents with {instances} instances:", end=" ")
    print(f"{statements_per_s:.2f} statements/s, registry's CPU {cpu:.1%} of a core")
    print(
        f"registry killed: all agents back after {killed_s:.1f} s; {lost} leases lost, {away} workers unreachable"
    )
    return {
        "workers": workers,
        "statements_per_s": round(statements_per_s, 2),
        "leases_lost": lost + away,
    }


async def _count(urls: PostgresUrls, registry: Registry, log: Path, seconds: float) -> tuple[float, float]:
    """Statements a second while nothing but heartbeats happens, and the share of a core that the registry takes."""
    await _log_statements(urls, on=True)
    await asyncio.sleep(3)
    start, cpu = log.stat().st_size, registry.cpu_s
    await asyncio.sleep(seconds)
    written = log.read_bytes()[start:]
    used = registry.cpu_s - cpu
    await _log_statements(urls, on=False)
    return len(_STATEMENT.findall(written)) / seconds, used / seconds


async def _kill(registry: Registry, agents: list[PlayedAgent]) -> float:
    for agent in agents:
        agent.connected.clear()
    loop = asyncio.get_running_loop()
    started = loop.time()
    registry.kill()
    await registry.start()
    await _all_connected(agents)
    took = loop.time() - started
    # A lapse, had there been one, would show by now.
    await asyncio.sleep(5)
    return took


async def _all_connected(agents: list[PlayedAgent]) -> None:
    async with asyncio.timeout(120):
        await asyncio.gather(*(agent.connected.wait() for agent in agents))


async def _log_statements(urls: PostgresUrls, *, on: bool) -> None:
    connection = await asyncpg.connect(urls.superuser)
    await connection.execute(f"ALTER SYSTEM SET log_statement = '{'all' if on else 'none'}'")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


async def _unreachable(urls: PostgresUrls) -> int:
    connection = await asyncpg.connect(urls.owner)
    count: int = await connection.fetchval("SELECT count(*) FROM workers WHERE state <> 'READY'")
    await connection.close()
    return count


async def _close(clients: list[RegistryClient]) -> None:
    for client in clients:
        await client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--workers", type=int, default=500)
    parser.add_argument("--instances", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with scratch() as home, postgres(home) as urls:
        result = asyncio.run(
            measure(
                urls,
                home,
                workers=options.workers,
                instances=options.instances,
                seconds=options.seconds,
            )
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
