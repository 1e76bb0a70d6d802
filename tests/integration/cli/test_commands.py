"""Commands that need few calls, over a registry that says what a test has it say, and over a real one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from scripted_registry import scripted_registry

from moorage.registry.v1.audit_service_pb2 import (
    AuditRecord,
    ListAuditRecordsRequest,
    ListAuditRecordsResponse,
)
from moorage.registry.v1.instance_pb2 import Instance
from moorage.registry.v1.instance_service_pb2 import (
    ListInstancesRequest,
    ListInstancesResponse,
    ListModelEndpointsRequest,
    ListModelEndpointsResponse,
    ModelEndpoint,
    RestartInstanceRequest,
    RestartInstanceResponse,
)
from moorage.registry.v1.model_pb2 import Model
from moorage.registry.v1.model_service_pb2 import (
    CreateModelRequest,
    GetModelRequest,
    GetModelResponse,
    ListModelsRequest,
    ListModelsResponse,
)
from moorage.registry.v1.worker_service_pb2 import DeleteWorkerRequest, DeleteWorkerResponse
from moorage_cli import listing
from moorage_cli.commands import (
    artifacts,
    audit,
    cordon,
    delete,
    endpoints,
    instances,
    models,
    ps,
    restart,
    scale,
    top,
    workers,
)
from moorage_cli.connect import actor
from moorage_cli.connect import registry as connect_registry
from moorage_cli.execution import run_command
from moorage_cli.query import EVERYTHING, Query
from moorage_cli.results import Output
from moorage_cli.target import MeshTarget, Said
from moorage_common.core.errors import (
    ErrorReason,
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    NotFound,
    Unavailable,
)

TABLE = Output.TABLE


async def test_restart_tells_which_and_one_that_cannot_keeps_no_other_from_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[str] = []

    async def list_instances(request: ListInstancesRequest, context: Any) -> ListInstancesResponse:
        found = [
            Instance(name="models/a/instances/1"),
            Instance(name="models/a/instances/2", worker="workers/w"),
            Instance(name="models/a/instances/3", retiring=True),
        ]
        return ListInstancesResponse(instances=found)

    async def restart_instance(request: RestartInstanceRequest, context: Any) -> RestartInstanceResponse:
        asked.append(request.name)
        assert request.request_id
        if request.name.endswith("/1"):
            raise FailedPrecondition(f"{request.name} is STOPPED")
        return RestartInstanceResponse(instance=Instance(name=request.name, generation=2))

    async with scripted_registry(ListInstances=list_instances, RestartInstance=restart_instance) as target:
        code = await restart.run(target, name="a", wait=False, timeout_s=None, output=Output.NAME)
    said = capsys.readouterr()
    assert code == 1
    assert asked == ["models/a/instances/1", "models/a/instances/2"]
    assert "error: models/a/instances/1 is STOPPED" in said.err
    assert "restarting  models/a/instances/2 on workers/w" in said.err
    assert said.out == "models/a/instances/2\n"


async def test_restart_of_a_model_without_instances_says_what_to_do() -> None:
    async def list_instances(request: ListInstancesRequest, context: Any) -> ListInstancesResponse:
        return ListInstancesResponse()

    async def get_model(request: GetModelRequest, context: Any) -> GetModelResponse:
        return GetModelResponse(model=Model(name=request.name))

    async with scripted_registry(ListInstances=list_instances, GetModel=get_model) as target:
        with pytest.raises(NotFound, match="models/a has no instance") as refused:
            await restart.run(target, name="a", wait=False, timeout_s=None, output=TABLE)
    assert refused.value.remedy == "Start the model: moor start a"


async def test_a_worker_is_deleted_by_its_full_name_and_what_holds_it_is_listed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[DeleteWorkerRequest] = []

    async def delete_worker(request: DeleteWorkerRequest, context: Any) -> DeleteWorkerResponse:
        asked.append(request)
        if not request.force:
            raise FailedPrecondition(
                "2 instances hold memory on workers/w",
                reason=ErrorReason.WORKER_IN_USE,
                resource="workers/w",
                violations=[FieldViolation("models/a/instances/1", "holds 2 GiB")],
            )
        return DeleteWorkerResponse()

    async def deleted(target: MeshTarget, *, force: bool) -> int:
        return await delete.run(target, name="workers/w", force=force, wait=True, output=Output.JSON)

    async with scripted_registry(DeleteWorker=delete_worker) as target:
        with pytest.raises(FailedPrecondition) as refused:
            await deleted(target, force=False)
        assert refused.value.violations == (FieldViolation("models/a/instances/1", "holds 2 GiB"),)
        assert await deleted(target, force=True) == 0
    assert [(each.name, each.force) for each in asked] == [("workers/w", False), ("workers/w", True)]
    assert json.loads(capsys.readouterr().out) == {"name": "workers/w", "deleted": True}


@pytest.mark.parametrize(
    ("name", "force", "said"),
    [
        ("tiny/a1", False, "only models and workers can"),
        ("artifacts/a", False, "only models and workers can"),
        ("tiny", True, "--force is for workers"),
        ("Not A Name", False, "id is invalid"),
    ],
)
async def test_what_cannot_be_deleted_is_refused_before_any_call(name: str, force: bool, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        await delete.run(MeshTarget.at({}), name=name, force=force, wait=True, output=TABLE)


async def test_audit_shows_from_what_to_what_and_asks_for_one_resource(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[ListAuditRecordsRequest] = []
    before, after = Struct(), Struct()
    before.update({"replicas": 1})
    after.update({"replicas": 3})

    async def list_records(request: ListAuditRecordsRequest, context: Any) -> ListAuditRecordsResponse:
        asked.append(request)
        record = AuditRecord(
            name="auditRecords/9",
            actor="ada@bridge",
            method="moorage.registry.v1.ModelService/UpdateModel",
            resource="models/tiny",
            before=before,
            after=after,
            changed_fields=["replicas"],
        )
        return ListAuditRecordsResponse(records=[record], next_page_token="more")

    query = Query(filter='actor = "ada@bridge"', order_by="time", limit=1)
    async with scripted_registry(ListAuditRecords=list_records) as target:
        assert await audit.run(target, name="tiny", query=query, output=TABLE) == 0
    (asked_once,) = asked
    assert asked_once.filter == (
        '(actor = "ada@bridge") AND (resource = "models/tiny" OR resource = "models/tiny/instances/*")'
    )
    assert (asked_once.order_by, asked_once.page_size) == ("time", 1)
    line = capsys.readouterr().out.splitlines()[1]
    for part in ("ada@bridge", "UpdateModel", "models/tiny", "replicas: 1 → 3"):
        assert part in line


async def test_lists_go_over_all_pages_or_as_many_as_are_wanted() -> None:
    asked: list[tuple[int, str]] = []

    async def list_endpoints(request: ListModelEndpointsRequest, context: Any) -> ListModelEndpointsResponse:
        asked.append((request.page_size, request.page_token))
        start = int(request.page_token or 0)
        found = [ModelEndpoint(instance=f"models/a/instances/{start + each}") for each in range(2)]
        return ListModelEndpointsResponse(
            endpoints=found, next_page_token=str(start + 2) if start < 4 else ""
        )

    async with (
        scripted_registry(ListModelEndpoints=list_endpoints) as target,
        connect_registry(target) as client,
    ):
        assert len(await listing.all_endpoints(client)) == 6
        assert asked == [(1000, ""), (1000, "2"), (1000, "4")]
        asked.clear()
        assert len(await listing.all_endpoints(client, query=Query(limit=4))) == 4
        assert asked == [(4, ""), (2, "2")]


async def test_endpoints_of_a_model_that_is_not_there_are_no_empty_list() -> None:
    async def get_model(request: GetModelRequest, context: Any) -> GetModelResponse:
        raise NotFound("there is no models/a", resource="models/a")

    async with scripted_registry(GetModel=get_model) as target:
        for command in (endpoints, instances):
            with pytest.raises(NotFound):
                await command.run(target, model="a", query=EVERYTHING, output=TABLE)


async def test_the_registry_hears_who_calls() -> None:
    heard: list[object] = []

    async def list_models(request: ListModelsRequest, context: Any) -> ListModelsResponse:
        heard.append(dict(context.invocation_metadata())["x-moorage-actor"])
        return ListModelsResponse()

    async with scripted_registry(ListModels=list_models) as target:
        await models.run(target, query=EVERYTHING, output=TABLE)
    assert heard == [actor()]


async def test_what_cannot_be_reached_is_told_with_who_says_that_it_is_there(free_port: int) -> None:
    address = f"127.0.0.1:{free_port}"
    said = Said(addresses={"registry": address}, words={"registry": "MOORAGE_REGISTRY"})
    with pytest.raises(Unavailable) as away:
        await models.run(MeshTarget(levels=(said,)), query=EVERYTHING, output=TABLE)
    assert away.value.remedy.endswith(f"{address} is from MOORAGE_REGISTRY.")
    wrong = Said(addresses={"registry": "nonsense"}, words={"registry": "--registry"})
    with pytest.raises(InvalidArgument) as refused:
        await models.run(MeshTarget(levels=(wrong,)), query=EVERYTHING, output=TABLE)
    assert refused.value.remedy == "nonsense is from --registry."


async def test_an_error_of_the_registry_is_not_blamed_on_its_address() -> None:
    async def list_models(request: ListModelsRequest, context: Any) -> ListModelsResponse:
        raise FailedPrecondition("no")

    async with scripted_registry(ListModels=list_models) as target:
        with pytest.raises(FailedPrecondition) as refused:
            await models.run(target, query=EVERYTHING, output=TABLE)
    assert refused.value.remedy == ""


async def test_lists_of_a_real_registry(registry: Any, capsys: pytest.CaptureFixture[str]) -> None:
    target = MeshTarget.at({"registry": registry.address})
    for command in (ps, models, workers, artifacts):
        assert await command.run(target, query=EVERYTHING, output=TABLE) == 0
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.strip()
    assert await top.run(target, once=True, output=TABLE) == 0
    assert "0 of 0 workers ready" in capsys.readouterr().out

    stopped = Model(source="hf:x/y/z.gguf", labels={"team": "search"}, desired_state=2)
    await registry.client.models.CreateModel(CreateModelRequest(model_id="still", model=stopped))
    for command in (ps, models):
        await command.run(target, query=EVERYTHING, output=TABLE)
        assert "still" in capsys.readouterr().out
    code = await scale.run(target, model="still", replicas=3, wait=True, timeout_s=5, output=Output.JSON)
    said = capsys.readouterr()
    assert code == 0
    assert json.loads(said.out)["model"]["replicas"] == 3
    assert "3 instances of models/still, once it is started" in said.err
    assert await top.run(target, once=False, output=Output.NAME) == 0
    assert capsys.readouterr().out == "models/still\n"


async def test_cordoning_a_worker_that_is_not_there(registry: Any) -> None:
    target = MeshTarget.at({"registry": registry.address})
    for command in (cordon.cordon, cordon.uncordon):
        with pytest.raises(NotFound):
            await command(target, worker="nobody", output=TABLE)


def failing(error: BaseException) -> Callable[[], Any]:
    async def fail() -> int:
        raise error

    return fail


def test_every_exit_code_of_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def done() -> int:
        return 0

    assert run_command(done, debug=False) == 0
    assert run_command(failing(NotFound("no such model")), debug=False) == 1
    assert run_command(failing(PermissionError(13, "Permission denied", "/x")), debug=False) == 1
    assert run_command(failing(ValueError("a defect")), debug=False) == 1
    assert run_command(failing(Unavailable("away")), debug=False) == 4
    assert run_command(failing(KeyboardInterrupt()), debug=False) == 130
    assert "Traceback" not in capsys.readouterr().err
