"""A real scheduler on a real registry: what it places, what it leaves, and what it says about it."""

import asyncio

import pytest
from fleet_tools import GIB

from moorage.common.v1 import placement_pb2
from moorage.registry.v1 import (
    artifact_pb2,
    instance_pb2,
    model_pb2,
    worker_service_pb2,
)
from moorage.scheduler.v1 import scheduler_service_pb2 as pb
from moorage_common.core.errors import ErrorReason, FailedPrecondition, InvalidArgument, NotFound

READY = artifact_pb2.COPY_STATE_READY
PENDING = instance_pb2.INSTANCE_STATE_PENDING
FETCHING = instance_pb2.INSTANCE_STATE_FETCHING
STARTING = instance_pb2.INSTANCE_STATE_STARTING


def all_in(state):
    return lambda found: bool(found) and all(item.state == state for item in found)


def explained(found):
    return all(item.explanation.summary for item in found)


def claims(instance):
    return {claim.pool: claim.size_bytes for claim in instance.placement.claims}


class TestDeployment:
    async def test_nominated_then_bound_once_the_artifact_is_there(self, yard, scheduler):
        async with yard.agent() as agent:
            await yard.create()
            artifact = await yard.resolve_all(yard.artifact())
            [fetching] = await yard.until(all_in(FETCHING))
            assert fetching.worker == "workers/gpu-01"
            assert fetching.explanation.verdict == placement_pb2.VERDICT_PLACED
            assert (await yard.worker()).ram.claimed_bytes == 0
            await agent.report_copy(artifact, READY, done_bytes=1000)
            [bound] = await yard.until(all_in(STARTING))
            worker = await yard.worker()
        assert (bound.placement.gpu_layers, bound.placement.total_layers) == (5, 5)
        assert claims(bound)["GPU-gpu-01-0"] == worker.accelerator_memory[0].claimed_bytes > 4 * GIB
        assert claims(bound)["ram"] == worker.ram.claimed_bytes > 0

    async def test_bound_in_one_step_where_the_artifact_already_is(self, yard, scheduler):
        async with yard.agent() as agent:
            await yard.create()
            artifact = await yard.resolve_all(yard.artifact())
            await yard.until(all_in(FETCHING))
            await agent.report_copy(artifact, READY, done_bytes=1000)
            await yard.until(all_in(STARTING))
            await yard.create("second")
            await yard.resolve_all(yard.artifact())
            [bound] = await yard.until(all_in(STARTING), "second")
            assert len(bound.placement.claims) == 2

    async def test_replicas_are_spread(self, yard, scheduler):
        async with yard.agent("a"), yard.agent("b"), yard.agent("c"):
            await yard.create(replicas=3)
            await yard.resolve_all(yard.artifact())
            found = await yard.until(all_in(FETCHING))
        assert {item.worker for item in found} == {"workers/a", "workers/b", "workers/c"}

    async def test_placed_once_a_worker_comes(self, yard, scheduler):
        await yard.create()
        await yard.resolve_all(yard.artifact())
        [waiting] = await yard.until(explained)
        assert waiting.state == PENDING
        assert waiting.explanation.summary == "there are no workers"
        async with yard.agent():
            await yard.until(all_in(FETCHING))

    async def test_placed_once_a_claim_ends(self, yard, scheduler):
        async with yard.agent(ram=6 * GIB, gpus=0) as agent:
            await yard.create("first")
            artifact = await yard.resolve_all(yard.artifact())
            await yard.until(all_in(FETCHING), "first")
            await agent.report_copy(artifact, READY, done_bytes=1000)
            [first] = await yard.until(all_in(STARTING), "first")
            await yard.create("second")
            await yard.resolve_all(yard.artifact())
            [second] = await yard.until(explained, "second")
            assert second.explanation.verdict == placement_pb2.VERDICT_NOT_NOW
            assert second.explanation.reason_counts[0].reason == (
                placement_pb2.PLACEMENT_REASON_INSUFFICIENT_RAM
            )
            await yard.stop("first")
            await agent.report(first, instance_pb2.INSTANCE_STATE_STOPPED)
            await yard.until(all_in(STARTING), "second")

    async def test_one_that_was_fetched_while_another_took_its_place_goes_elsewhere(self, yard, scheduler):
        async with yard.agent("small", ram=6 * GIB, gpus=0) as small:
            await yard.create("first")
            artifact = await yard.resolve_all(yard.artifact())
            await yard.until(all_in(FETCHING), "first")
            await yard.create("second")
            await yard.resolve_all(yard.artifact())
            await yard.until(all_in(FETCHING), "second")
            async with yard.agent("other", ram=6 * GIB, gpus=0):
                await small.report_copy(artifact, READY, done_bytes=1000)
                async with asyncio.timeout(20):
                    while {item.state for item in await self.both(yard)} != {STARTING, FETCHING}:
                        await asyncio.sleep(0.02)
                workers = {item.state: item.worker for item in await self.both(yard)}
        assert workers == {STARTING: "workers/small", FETCHING: "workers/other"}

    async def both(self, yard):
        return [*await yard.instances("first"), *await yard.instances("second")]

    async def test_an_explanation_is_recorded_once(self, yard, scheduler):
        async with yard.agent(ram=GIB, gpus=0) as agent:
            await yard.create()
            await yard.resolve_all(yard.artifact())
            [waiting] = await yard.until(explained)
            for use in (1, 2, 3):
                agent.beat(
                    measurements=worker_service_pb2.NodeMeasurements(foreign_bytes={"ram": use * 4096})
                )
                await asyncio.sleep(0.1)
            [later] = await yard.instances()
        assert later.version == waiting.version

    async def test_a_cordoned_worker_gets_nothing_until_it_is_uncordoned(self, yard, scheduler):
        async with yard.agent():
            request = worker_service_pb2.CordonWorkerRequest(name="workers/gpu-01")
            await yard.client.workers.CordonWorker(request)
            await yard.create()
            await yard.resolve_all(yard.artifact())
            [waiting] = await yard.until(explained)
            assert waiting.explanation.workers[0].rejections[0].remedy == "uncordon workers/gpu-01"
            request = worker_service_pb2.UncordonWorkerRequest(name="workers/gpu-01")
            await yard.client.workers.UncordonWorker(request)
            await yard.until(all_in(FETCHING))


async def test_several_schedulers_place_everything_once_and_overcommit_nothing(yard, registry, run_scheduler):
    size = 6 * GIB
    async with (
        run_scheduler(registry.address),
        run_scheduler(registry.address),
        run_scheduler(registry.address),
        yard.agent("a", ram=4 * size, gpus=0) as a,
        yard.agent("b", ram=4 * size, gpus=0) as b,
    ):
        await yard.create(replicas=12)
        artifact = await yard.resolve_all(yard.artifact())
        await yard.until(lambda found: sum(i.state == FETCHING for i in found) >= 8)
        for agent in (a, b):
            async with asyncio.timeout(20):
                while True:
                    try:
                        await agent.report_copy(artifact, READY, done_bytes=1000)
                        break
                    except NotFound:
                        await asyncio.sleep(0.02)
        found = await yard.until(
            lambda found: (
                sum(i.state == STARTING for i in found) == 10 and all(i.explanation.summary for i in found)
            )
        )
        await asyncio.sleep(0.5)
        found = await yard.instances()
        workers = [await yard.worker("a"), await yard.worker("b")]
    bound = [item for item in found if item.state == STARTING]
    assert len(bound) == 10
    assert sum(worker.ram.claimed_bytes for worker in workers) == sum(claims(i)["ram"] for i in bound)
    assert all(worker.ram.claimed_bytes <= worker.ram.total_bytes for worker in workers)


class TestEvaluatePlacement:
    async def test_a_dry_run_says_what_then_happens_and_changes_nothing(self, yard, scheduler):
        async with yard.agent("a", gpus=0), yard.agent("b"):
            await yard.create(desired_state=model_pb2.DESIRED_STATE_STOPPED)
            await yard.resolve_all(yard.artifact())
            request = pb.EvaluatePlacementRequest(model_name="models/tiny")
            answer = await scheduler.EvaluatePlacement(request)
            assert answer == await scheduler.EvaluatePlacement(request)
            assert answer.placement.worker == "workers/b"
            assert [worker.worker for worker in answer.explanation.workers] == ["workers/b", "workers/a"]
            assert (await yard.worker("b")).ram.claimed_bytes == 0
            await yard.start()
            [fetching] = await yard.until(all_in(FETCHING))
        assert fetching.worker == answer.placement.worker

    async def test_workers_chosen_by_hand(self, yard, scheduler):
        async with yard.agent("a", gpus=0), yard.agent("b"):
            await yard.create(desired_state=model_pb2.DESIRED_STATE_STOPPED)
            await yard.resolve_all(yard.artifact())

            async def choose(*workers):
                request = pb.EvaluatePlacementRequest(model_name="models/tiny", workers=workers)
                return await scheduler.EvaluatePlacement(request)

            assert (await choose("workers/a")).placement.worker == "workers/a"
            refused = await choose("workers/a", "workers/ghost")
            assert not refused.HasField("placement")
            assert refused.explanation.workers[0].rejections[0].reason == (
                placement_pb2.PLACEMENT_REASON_WORKER_UNKNOWN
            )

    async def test_a_model_that_does_not_exist_by_its_artifact(self, yard, scheduler):
        async with yard.agent():
            await yard.create(desired_state=model_pb2.DESIRED_STATE_STOPPED)
            artifact = await yard.resolve_all(yard.artifact())
            spec = pb.ModelSpec(artifact=artifact, llama_cpp={"gpu_layers": 2})
            answer = await scheduler.EvaluatePlacement(pb.EvaluatePlacementRequest(model=spec))
        assert answer.placement.gpu_layers == 2
        assert [claim.layers for claim in answer.placement.claims] == [3, 2]

    async def test_the_list_of_workers_is_as_long_as_asked_for(self, yard, scheduler):
        async with yard.agent("a"), yard.agent("b"), yard.agent("c"):
            await yard.create(desired_state=model_pb2.DESIRED_STATE_STOPPED)
            await yard.resolve_all(yard.artifact())
            request = pb.EvaluatePlacementRequest(model_name="models/tiny", max_workers=2)
            answer = await scheduler.EvaluatePlacement(request)
        assert len(answer.explanation.workers) == 2
        assert answer.explanation.workers_considered == 3

    async def test_what_cannot_be_answered(self, yard, scheduler):
        with pytest.raises(NotFound):
            await scheduler.EvaluatePlacement(pb.EvaluatePlacementRequest(model_name="models/ghost"))
        ghost = pb.ModelSpec(artifact="artifacts/ghost")
        with pytest.raises(NotFound):
            await scheduler.EvaluatePlacement(pb.EvaluatePlacementRequest(model=ghost))
        with pytest.raises(InvalidArgument):
            await scheduler.EvaluatePlacement(pb.EvaluatePlacementRequest())
        await yard.create()
        with pytest.raises(FailedPrecondition) as caught:
            await scheduler.EvaluatePlacement(pb.EvaluatePlacementRequest(model_name="models/tiny"))
        assert caught.value.reason is ErrorReason.MODEL_UNRESOLVED


class TestExplainInstance:
    async def explain(self, scheduler, name, **fields):
        return await scheduler.ExplainInstance(pb.ExplainInstanceRequest(name=name, **fields))

    async def test_one_that_waits_is_explained_as_of_now(self, yard, scheduler):
        async with yard.agent(ram=GIB, gpus=0) as agent:
            await yard.create()
            await yard.resolve_all(yard.artifact())
            [waiting] = await yard.until(explained)
            before = await self.explain(scheduler, waiting.name)
            agent.beat(measurements=worker_service_pb2.NodeMeasurements(foreign_bytes={"ram": 12345}))
            async with asyncio.timeout(10):
                while (after := await self.explain(scheduler, waiting.name)) == before:
                    await asyncio.sleep(0.02)
        assert not after.HasField("placement")
        assert after.explanation.verdict == placement_pb2.VERDICT_NEVER_FITS
        assert int(after.explanation.workers[0].rejections[0].available) == GIB - 12345

    async def test_one_that_was_placed_is_explained_as_of_then(self, yard, scheduler):
        async with yard.agent() as agent, yard.agent("other", gpus=0):
            await yard.create()
            artifact = await yard.resolve_all(yard.artifact())
            await yard.until(all_in(FETCHING))
            await agent.report_copy(artifact, READY, done_bytes=1000)
            [bound] = await yard.until(all_in(STARTING))
            answer = await self.explain(scheduler, bound.name)
            short = await self.explain(scheduler, bound.name, max_workers=1)
        assert answer.placement == bound.placement
        assert answer.explanation == bound.explanation
        assert len(answer.explanation.workers) == 2
        assert len(short.explanation.workers) == 1

    async def test_one_that_waits_for_its_artifact_says_so(self, yard, scheduler):
        await yard.create()
        [waiting] = await yard.instances()
        answer = await self.explain(scheduler, waiting.name)
        assert answer.explanation.summary == "waits for its artifact: its source is being resolved"

    async def test_one_that_is_stopped_says_so(self, yard, scheduler):
        await yard.create()
        await yard.stop()
        [stopped] = await yard.until(all_in(instance_pb2.INSTANCE_STATE_STOPPED))
        answer = await self.explain(scheduler, stopped.name)
        assert answer.explanation.summary.endswith("is STOPPED")

    async def test_an_unknown_one(self, scheduler):
        with pytest.raises(NotFound):
            await self.explain(scheduler, "models/ghost/instances/abc")
