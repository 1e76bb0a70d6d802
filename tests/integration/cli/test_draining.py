"""`moor drain`, over a registry that says what a test has it say."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.rpc.status_pb2 import Status
from scripted_registry import scripted_registry

from moorage.registry.v1.instance_pb2 import InstanceState
from moorage.registry.v1.worker_pb2 import Worker
from moorage.registry.v1.worker_service_pb2 import (
    DrainingInstance,
    DrainStep,
    DrainWorkerRequest,
    DrainWorkerResponse,
)
from moorage_cli.commands import drain
from moorage_cli.results import Output
from moorage_common.core.errors import Aborted, DeadlineExceeded, ErrorReason, Unavailable

WORKER = Worker(name="workers/w", cordoned=True)
RUNNING = InstanceState.INSTANCE_STATE_RUNNING
MOVING = DrainingInstance(
    instance="models/a/instances/1",
    state=RUNNING,
    step=DrainStep.DRAIN_STEP_MOVING,
    replacements=["models/a/instances/2"],
)
BLOCKED = DrainingInstance(
    instance="models/b/instances/1",
    state=RUNNING,
    step=DrainStep.DRAIN_STEP_BLOCKED,
    obstacle=Status(message="fits no worker now"),
)
HOW_TO_GO_ON = "The drain goes on. Look on again: moor drain w. Call it off: moor uncordon w."


def progress(*instances: DrainingInstance) -> DrainWorkerResponse:
    return DrainWorkerResponse(worker=WORKER, instances=instances)


async def forever() -> None:
    await asyncio.Event().wait()


async def drained(target: Any, **options: Any) -> int:
    values = {"worker": "w", "wait": True, "timeout_s": None, "output": Output.TABLE, **options}
    return await drain.run(target, **values)


async def test_each_step_until_nothing_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    async def drain_worker(request: DrainWorkerRequest, context: Any) -> AsyncIterator[DrainWorkerResponse]:
        assert request.name == "workers/w"
        yield progress(MOVING, BLOCKED)
        yield progress(BLOCKED)
        yield progress()

    async with scripted_registry(DrainWorker=drain_worker) as target:
        assert await drained(target) == 0
    assert capsys.readouterr().err.splitlines() == [
        "  ✓ cordoned    workers/w",
        "  · moving      a/1: serves until a/2 runs",
        "  ! blocked     b/1: fits no worker now",
        "  ✓ gone        a/1",
        "  ✓ gone        b/1",
        "  ✓ drained     nothing is left on workers/w; it stays cordoned",
    ]


async def test_a_broken_stream_is_taken_up_as_the_same_drain(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []

    async def drain_worker(request: DrainWorkerRequest, context: Any) -> AsyncIterator[DrainWorkerResponse]:
        asked.append(request.request_id)
        if len(asked) == 1:
            yield progress(MOVING)
            raise Unavailable("going away", reason=ErrorReason.SERVER_DRAINING)
        yield progress()

    async with scripted_registry(DrainWorker=drain_worker) as target:
        assert await drained(target) == 0
    first, second = asked
    assert first == second != ""
    assert "gone        a/1" in capsys.readouterr().err


async def test_time_is_up_and_the_drain_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    async def drain_worker(request: DrainWorkerRequest, context: Any) -> AsyncIterator[DrainWorkerResponse]:
        yield progress(MOVING, BLOCKED)
        await forever()

    async with scripted_registry(DrainWorker=drain_worker) as target:
        assert await drained(target, timeout_s=0.5, output=Output.JSON) == 3
    said = capsys.readouterr()
    assert said.err.splitlines()[-2:] == [
        "Not empty after 0.5 s; 2 instances are still there: a/1, b/1.",
        HOW_TO_GO_ON,
    ]
    left = json.loads(said.out)
    assert left["worker"]["cordoned"] is True
    assert [each["instance"] for each in left["instances"]] == [MOVING.instance, BLOCKED.instance]


async def test_who_leaves_is_told_that_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    begun = asyncio.Event()

    async def drain_worker(request: DrainWorkerRequest, context: Any) -> AsyncIterator[DrainWorkerResponse]:
        yield progress(MOVING)
        begun.set()
        await forever()

    async with scripted_registry(DrainWorker=drain_worker) as target:
        looking_on = asyncio.create_task(drained(target))
        await begun.wait()
        await asyncio.sleep(0.2)
        looking_on.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking_on
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "No longer followed; 1 instance is still there: a/1.",
        HOW_TO_GO_ON,
    ]


async def test_without_waiting_only_its_beginning_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    async def drain_worker(request: DrainWorkerRequest, context: Any) -> AsyncIterator[DrainWorkerResponse]:
        yield progress(MOVING)
        await forever()

    async with scripted_registry(DrainWorker=drain_worker) as target:
        assert await drained(target, wait=False, output=Output.NAME) == 0
    said = capsys.readouterr()
    assert said.err.splitlines()[-1] == HOW_TO_GO_ON
    assert said.out == "models/a/instances/1\n"


async def test_a_drain_that_was_called_off_is_an_error() -> None:
    async def drain_worker(request: DrainWorkerRequest, context: Any) -> AsyncIterator[DrainWorkerResponse]:
        yield progress(MOVING)
        raise Aborted("the drain of workers/w was called off", reason=ErrorReason.DRAIN_CANCELLED)

    async with scripted_registry(DrainWorker=drain_worker) as target:
        with pytest.raises(Aborted, match="called off"):
            await drained(target)


async def test_a_registry_that_says_nothing_has_begun_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    async def drain_worker(request: DrainWorkerRequest, context: Any) -> AsyncIterator[DrainWorkerResponse]:
        await forever()
        yield progress()

    async with scripted_registry(DrainWorker=drain_worker) as target:
        with pytest.raises(DeadlineExceeded, match=r"did not answer within 0\.2 s"):
            await drained(target, timeout_s=0.2)
    assert "goes on" not in capsys.readouterr().err
