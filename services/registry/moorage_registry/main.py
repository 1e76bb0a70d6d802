"""The registry's process: wiring only."""

import asyncio
import sys
from datetime import timedelta
from functools import partial
from random import Random

from moorage.registry.v1 import (
    artifact_service_pb2_grpc,
    audit_service_pb2_grpc,
    instance_service_pb2_grpc,
    model_service_pb2_grpc,
    worker_service_pb2_grpc,
)
from moorage_common.core.backoff import Backoff, BackoffPolicy
from moorage_common.core.clock import SystemClock
from moorage_common.core.errors import Unavailable
from moorage_common.rpc.server import RpcServer, ServerConfig
from moorage_common.runtime.logs import get_logger
from moorage_common.runtime.service import Process, run_service
from moorage_common.runtime.tasks import Run
from moorage_registry.config import RegistrySettings, whereabouts
from moorage_registry.convert.events import encode_change, with_revision
from moorage_registry.heartbeat.batch import HeartbeatBatch
from moorage_registry.heartbeat.streams import HeartbeatStreams
from moorage_registry.heartbeat.wakeups import NodeWakeups
from moorage_registry.housekeeping import Housekeeping
from moorage_registry.lookout import Lookout
from moorage_registry.readiness import follow_readiness
from moorage_registry.servicers.artifacts import ArtifactServicer
from moorage_registry.servicers.audit import AuditServicer
from moorage_registry.servicers.instances import InstanceServicer
from moorage_registry.servicers.models import ModelServicer
from moorage_registry.servicers.watch import WatchServicer, add_watch_service
from moorage_registry.servicers.workers import WorkerServicer
from moorage_registry.store.database import Database
from moorage_registry.store.failures import cause
from moorage_registry.store.migrate import migrate
from moorage_registry.watch.nudge import nudge
from moorage_registry.watch.sequencer import Sequencer
from moorage_registry.watch.tail import EventTail

log = get_logger(__name__)

_TASK_BACKOFF = BackoffPolicy(cap_s=2.0)
"""Watchers and agents wait for these tasks: once the database is back, they must be too."""


async def serve(settings: RegistrySettings, process: Process) -> None:
    """Runs the registry until it is told to stop."""
    database = Database(
        settings.database_url, encode_event=encode_change, pool_size=settings.database_connections
    )
    clock = SystemClock()
    lookout = Lookout(database)
    tail = EventTail(database, settings.database_url, finish=with_revision)
    sequencer = Sequencer(database, settings.database_url)
    lease_ttl = timedelta(seconds=settings.lease_ttl_s)
    batch = HeartbeatBatch(database, clock, lease_ttl=lease_ttl)
    wakeups = NodeWakeups(tail)
    streams = HeartbeatStreams(database, batch, wakeups, lease_ttl=lease_ttl)
    housekeeping = Housekeeping(
        database,
        clock,
        lease_ttl=lease_ttl,
        replace_after=timedelta(seconds=settings.replace_after_s),
        kept_events=settings.kept_events,
    )
    try:
        async with RpcServer(ServerConfig.of(settings), telemetry=process.telemetry) as server:
            server.add(
                worker_service_pb2_grpc.add_WorkerServiceServicer_to_server,
                WorkerServicer(database, streams, lookout, lease_ttl=lease_ttl),
            )
            server.add(model_service_pb2_grpc.add_ModelServiceServicer_to_server, ModelServicer(database))
            server.add(
                instance_service_pb2_grpc.add_InstanceServiceServicer_to_server,
                InstanceServicer(database),
            )
            server.add(
                artifact_service_pb2_grpc.add_ArtifactServiceServicer_to_server,
                ArtifactServicer(database),
            )
            server.add(audit_service_pb2_grpc.add_AuditServiceServicer_to_server, AuditServicer(database))
            add_watch_service(server, WatchServicer(database, tail, max_watchers=settings.max_watchers))
            await server.start()
            # Agents that come while the tables are being prepared are answered, too.
            process.tasks.start("heartbeats", batch.run, backoff=_TASK_BACKOFF)
            await _until_migrated(settings)
            tasks: dict[str, Run] = {
                "sequencer": sequencer.run,
                "event tail": tail.run,
                "lookout": lookout.run,
                "nudges": partial(nudge, lookout, database, tail),
                "node wake-ups": wakeups.run,
                "lapse": partial(housekeeping.lapse, lookout),
                "drains": partial(housekeeping.drain, lookout),
                "ageing": housekeeping.age,
            }
            for name, run in tasks.items():
                process.tasks.start(name, run, backoff=_TASK_BACKOFF)
            await tail.wait_ready()
            process.tasks.start("readiness", partial(follow_readiness, lookout, server))
            await process.until_stopped()
    finally:
        await database.close()


async def _until_migrated(settings: RegistrySettings) -> None:
    """Migrates as soon as the database answers."""
    backoff = Backoff(BackoffPolicy(cap_s=5.0), Random())
    url = settings.migration_database_url or settings.database_url
    while True:
        try:
            return await migrate(url)
        except Unavailable as error:
            delay = backoff.next_delay_s()
            log.warning(
                "waiting for the database",
                database=whereabouts(url),
                cause=cause(error),
                retry_in_s=round(delay, 2),
            )
            await asyncio.sleep(delay)


def main() -> None:
    """Console script: moorage-registry."""
    sys.exit(run_service(RegistrySettings, serve))
