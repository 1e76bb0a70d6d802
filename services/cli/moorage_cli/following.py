"""Follows models by the watch until something is so."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Sequence

from rich.console import Console

from moorage.registry.v1.instance_pb2 import InstanceState
from moorage.registry.v1.watch_service_pb2 import ResourceKind
from moorage_cli.progress import ProgressView
from moorage_cli.views.deployment import Resources, deployment_status, instances_of
from moorage_cli.views.milestones import Outcome
from moorage_common.rpc.cache import CacheSnapshot
from moorage_common.rpc.clients import RegistryClient
from moorage_common.rpc.informer import Informer

_KINDS = (
    ResourceKind.RESOURCE_KIND_MODEL,
    ResourceKind.RESOURCE_KIND_INSTANCE,
    ResourceKind.RESOURCE_KIND_ARTIFACT,
    ResourceKind.RESOURCE_KIND_ARTIFACT_COPY,
)


async def follow_deployment(
    registry: RegistryClient, model: str, console: Console, *, only: Collection[str] = ()
) -> Outcome:
    """Shows how a model's deployment goes on, or only that of some instances, and returns how it ended."""
    with ProgressView(console) as view:
        async for snapshot in snapshots(registry, _KINDS):
            status = deployment_status(snapshot, model, only=only)
            view.show(status.milestones, status.transfers)
            if status.outcome is not None:
                return status.outcome
    raise AssertionError("snapshots never end")


async def follow_until_stopped(registry: RegistryClient, model: str) -> None:
    """Returns once nothing of a model runs."""
    await _until(registry, lambda resources: _is_stopped(resources, model))


async def follow_until_gone(registry: RegistryClient, model: str) -> None:
    """Returns once a model does not exist."""
    await _until(registry, lambda resources: model not in resources.models)


async def follow_until_none_retires(registry: RegistryClient, model: str) -> None:
    """Returns once no instance of a model is on its way out."""
    prefix = f"{model}/"
    await _until(
        registry,
        lambda resources: (
            not any(
                instance.retiring
                for instance in resources.instances.values()
                if instance.name.startswith(prefix)
            )
        ),
    )


def _is_stopped(resources: Resources, model: str) -> bool:
    return all(
        instance.state == InstanceState.INSTANCE_STATE_STOPPED for instance in instances_of(resources, model)
    )


async def _until(registry: RegistryClient, condition: Callable[[Resources], bool]) -> None:
    async for snapshot in snapshots(registry, _KINDS):
        if condition(snapshot):
            return


async def snapshots(
    registry: RegistryClient, kinds: Sequence[ResourceKind.ValueType]
) -> AsyncIterator[CacheSnapshot]:
    """Yields what there is, then again whenever something changed. It takes up broken streams by itself."""
    informer = Informer(registry.watch, kinds=kinds)
    running = asyncio.create_task(informer.run())
    try:
        await informer.wait_synced()
        while True:
            snapshot = informer.snapshot()
            yield snapshot
            await informer.changed(since=snapshot.generation)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
