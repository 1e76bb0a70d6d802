"""Where models can be reached: what a balancer on the client's side needs, with the watch that keeps it true."""

import asyncio

import pytest
from fleet_tools import Fleet

from moorage.registry.v1 import instance_pb2, instance_service_pb2, watch_service_pb2
from moorage_common.core.errors import InvalidArgument

URL = "http://127.0.0.1:9/v1"


@pytest.fixture
def fleet(registry):
    return Fleet(registry.client)


async def endpoints(fleet, parent="models/tiny", **request):
    return await fleet.client.instances.ListModelEndpoints(
        instance_service_pb2.ListModelEndpointsRequest(parent=parent, **request)
    )


async def test_only_instances_that_answer_are_listed(fleet):
    async with fleet.agent() as agent:
        instance = await fleet.bound(agent)
        assert not (await endpoints(fleet)).endpoints
        running = await agent.report(instance, instance_pb2.INSTANCE_STATE_RUNNING, endpoint=URL)
        [found] = (await endpoints(fleet)).endpoints
        assert (found.model, found.instance, found.instance_uid) == (
            "models/tiny",
            instance.name,
            instance.uid,
        )
        assert (found.worker, found.url, found.version) == ("workers/gpu-01", URL, running.version)
        assert found.HasField("ready_time")
        assert len((await endpoints(fleet, "models/-")).endpoints) == 1
        assert not (await endpoints(fleet, "models/other")).endpoints
        assert not (await endpoints(fleet, filter='worker = "workers/gpu-02"')).endpoints
        await agent.report(instance, instance_pb2.INSTANCE_STATE_ERROR)
        assert not (await endpoints(fleet)).endpoints


async def test_a_watch_from_its_revision_misses_nothing(fleet):
    async with fleet.agent() as agent:
        instance = await fleet.bound(agent)
        listed = await endpoints(fleet)
        await agent.report(instance, instance_pb2.INSTANCE_STATE_RUNNING, endpoint=URL)
        request = watch_service_pb2.WatchRequest(
            after_revision=listed.revision, names=["models/tiny/instances/-"]
        )
        async with asyncio.timeout(10):
            async for event in fleet.client.watch.Watch(request):
                if event.instance.endpoint == URL:
                    break


async def test_a_parent_that_is_none(fleet):
    with pytest.raises(InvalidArgument):
        await endpoints(fleet, "tiny")
