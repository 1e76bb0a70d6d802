"""`moor watch`, over a registry that says what a test has it say."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from scripted_registry import scripted_registry

from moorage.registry.v1.instance_pb2 import Instance, InstanceState
from moorage.registry.v1.model_service_pb2 import ListModelsRequest, ListModelsResponse
from moorage.registry.v1.watch_service_pb2 import (
    ResourceKind,
    WatchOperation,
    WatchRequest,
    WatchResponse,
)
from moorage_cli.commands import watch
from moorage_cli.results import Output
from moorage_cli.target import MeshTarget
from moorage_common.core.errors import ErrorReason, MoorageError, OutOfRange, ResourceExhausted, Unavailable

NAME = "models/a/instances/1"
BOOKMARK = WatchOperation.WATCH_OPERATION_BOOKMARK


def event(
    revision: int, state: str, operation: WatchOperation.ValueType = WatchOperation.WATCH_OPERATION_UPDATED
) -> WatchResponse:
    instance = Instance(
        name=NAME, uid="u", version=revision, state=InstanceState.Value(f"INSTANCE_STATE_{state}")
    )
    return WatchResponse(revision=revision, operation=operation, instance=instance)


def current(state: str) -> WatchResponse:
    return event(0, state, WatchOperation.WATCH_OPERATION_CURRENT)


async def forever() -> None:
    await asyncio.Event().wait()


async def list_models(request: ListModelsRequest, context: Any) -> ListModelsResponse:
    return ListModelsResponse()


class Script:
    """What each watch is answered, one after the other; an error ends one, nothing keeps it open."""

    def __init__(self, *watches: list[WatchResponse | MoorageError]) -> None:
        self._watches = list(watches)
        self.asked: list[WatchRequest] = []
        self.over = asyncio.Event()

    async def watch(self, request: WatchRequest, context: Any) -> AsyncIterator[WatchResponse]:
        self.asked.append(request)
        for answer in self._watches.pop(0):
            if isinstance(answer, MoorageError):
                raise answer
            yield answer
        if not self._watches:
            # The client prints what it got.
            asyncio.get_running_loop().call_later(0.2, self.over.set)
        await forever()


@pytest.fixture
def watched(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    async def run(script: Script, **options: Any) -> tuple[list[str], list[str]]:
        values = {"names": [], "kinds": [], "since": None, "output": Output.TABLE, **options}
        async with scripted_registry(Watch=script.watch, ListModels=list_models) as target:
            running = asyncio.create_task(watch.run(target, **values))
            over = asyncio.create_task(script.over.wait())
            await asyncio.wait([running, over], return_when=asyncio.FIRST_COMPLETED)
            over.cancel()
            if not running.done():
                running.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await running
            else:
                running.result()
        said = capsys.readouterr()
        return said.out.splitlines(), said.err.splitlines()

    return run


async def test_a_change_is_told_from_what_to_what(watched: Callable[..., Any]) -> None:
    script = Script(
        [
            current("STARTING"),
            WatchResponse(revision=7, operation=BOOKMARK),
            event(8, "RUNNING"),
            event(9, "RUNNING", WatchOperation.WATCH_OPERATION_DELETED),
        ]
    )
    told, _ = await watched(script, names=["a"], kinds=["instance"])
    assert [line.split("  ", 1)[1] for line in told] == [
        f"instance  {NAME}  STARTING → RUNNING",
        f"instance  {NAME}  deleted",
    ]
    (asked,) = script.asked
    assert asked.initial_state
    assert list(asked.names) == ["models/a", "models/a/instances/-"]
    assert list(asked.kinds) == [ResourceKind.RESOURCE_KIND_INSTANCE]


async def test_a_broken_stream_is_taken_up_where_it_broke(watched: Callable[..., Any]) -> None:
    script = Script(
        [
            current("STARTING"),
            WatchResponse(revision=7, operation=BOOKMARK),
            Unavailable("going away", reason=ErrorReason.SERVER_DRAINING),
        ],
        [event(8, "RUNNING"), Unavailable("too slow", reason=ErrorReason.WATCHER_TOO_SLOW)],
        [event(9, "ERROR")],
    )
    told, noted = await watched(script)
    assert [line.split()[-3:] for line in told] == [["STARTING", "→", "RUNNING"], ["RUNNING", "→", "ERROR"]]
    assert [(each.initial_state, each.after_revision) for each in script.asked] == [
        (True, 0),
        (False, 7),
        (False, 8),
    ]
    assert noted == ["going away; trying on.", "too slow; trying on."]


async def test_what_the_registry_no_longer_keeps_is_said_to_be_missed(watched: Callable[..., Any]) -> None:
    script = Script(
        [event(5, "PENDING"), Unavailable("gone")],
        [OutOfRange("compacted")],
        [current("RUNNING"), WatchResponse(revision=90, operation=BOOKMARK), event(91, "ERROR")],
    )
    told, noted = await watched(script)
    assert told[-1].endswith("RUNNING → ERROR")
    assert noted[-1] == "Some changes were missed: the registry keeps them no longer."


async def test_from_a_revision_on_nothing_is_read_before(watched: Callable[..., Any]) -> None:
    script = Script([event(12, "RUNNING")])
    told, _ = await watched(script, since=11)
    assert told[0].endswith(f"{NAME}  RUNNING")
    assert [(each.initial_state, each.after_revision) for each in script.asked] == [(False, 11)]


async def test_a_revision_that_is_gone_is_refused_when_it_was_asked_for(watched: Callable[..., Any]) -> None:
    with pytest.raises(OutOfRange):
        await watched(Script([OutOfRange("compacted")]), since=1)


async def test_programs_get_one_document_a_line_and_none_of_what_was_there(
    watched: Callable[..., Any],
) -> None:
    first = [current("STARTING"), WatchResponse(revision=7, operation=BOOKMARK)]
    told, _ = await watched(Script([*first, event(8, "RUNNING")]), output=Output.JSON)
    (document,) = map(json.loads, told)
    assert (document["revision"], document["instance"]["state"]) == ("8", "INSTANCE_STATE_RUNNING")
    names, _ = await watched(Script([*first, event(8, "RUNNING")]), output=Output.NAME)
    assert names == [NAME]


async def test_a_watch_that_has_heard_nothing_yet_goes_on_too(watched: Callable[..., Any]) -> None:
    busy = ResourceExhausted("there are as many watchers as the server takes")
    script = Script([busy], [Unavailable("going away")], [event(12, "RUNNING")])
    told, noted = await watched(script, since=11)
    assert len(told) == 1
    assert [each.after_revision for each in script.asked] == [11, 11, 11]
    assert noted == ["there are as many watchers as the server takes; trying on."]


async def test_a_watch_goes_on_from_where_the_registry_says(watched: Callable[..., Any]) -> None:
    draining = Unavailable(
        "going away", reason=ErrorReason.SERVER_DRAINING, metadata={"resume_after_revision": "40"}
    )
    script = Script([event(12, "STARTING"), draining], [event(41, "RUNNING")])
    await watched(script, since=11)
    assert [each.after_revision for each in script.asked] == [11, 40]


async def test_a_registry_that_is_not_there_is_said_at_once(free_port: int) -> None:
    target = MeshTarget.at({"registry": f"127.0.0.1:{free_port}"})
    with pytest.raises(Unavailable):
        await watch.run(target, names=[], kinds=[], since=None, output=Output.TABLE)
