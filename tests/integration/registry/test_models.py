"""Models: wanted, changed, stopped and deleted, with everything that follows in the same transaction."""

import asyncpg
import pytest

from moorage.common.v1 import engine_pb2
from moorage.registry.v1 import (
    instance_pb2,
    instance_service_pb2,
    model_pb2,
    model_service_pb2,
    worker_pb2,
)
from moorage_common.core.errors import (
    Aborted,
    AlreadyExists,
    ErrorReason,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)


async def test_a_model_is_created_with_its_instances(fleet):
    model = await fleet.create(replicas=3)
    assert model.desired_state == model_pb2.DESIRED_STATE_RUNNING
    assert model.resolution.state == model_pb2.RESOLUTION_STATE_RESOLVING
    states = [instance.state for instance in await fleet.instances()]
    assert states == [instance_pb2.INSTANCE_STATE_PENDING] * 3


async def test_a_model_can_be_created_stopped(fleet):
    model = await fleet.create(desired_state=model_pb2.DESIRED_STATE_STOPPED)
    assert model.desired_state == model_pb2.DESIRED_STATE_STOPPED
    assert await fleet.instances() == []


async def test_a_name_is_taken_once(fleet):
    await fleet.create()
    with pytest.raises(AlreadyExists) as caught:
        await fleet.create()
    assert caught.value.resource == "models/tiny"


async def test_a_request_sent_again_returns_the_first_answer(fleet, registry):
    request = model_service_pb2.CreateModelRequest(
        model_id="tiny", model=model_pb2.Model(source="hf:a/b"), request_id="r1"
    )
    first = await registry.client.models.CreateModel(request)
    again = await registry.client.models.CreateModel(request)
    assert again == first
    assert len(await fleet.instances()) == 1


async def test_a_request_id_is_refused_with_another_request(fleet, registry):
    request = model_service_pb2.CreateModelRequest(
        model_id="tiny", model=model_pb2.Model(source="hf:a/b"), request_id="r1"
    )
    await registry.client.models.CreateModel(request)
    request.model.source = "hf:a/c"
    with pytest.raises(InvalidArgument) as caught:
        await registry.client.models.CreateModel(request)
    assert caught.value.reason is ErrorReason.REQUEST_ID_REUSED


async def test_validate_only_asks_anew_whatever_was_answered_under_its_request_id(fleet, registry):
    create = model_service_pb2.CreateModelRequest(
        model_id="tiny", model=model_pb2.Model(source="hf:a/b"), request_id="r1"
    )
    check = model_service_pb2.CreateModelRequest(validate_only=True)
    check.MergeFrom(create)
    await registry.client.models.CreateModel(check)
    created = await registry.client.models.CreateModel(create)
    # As things are now it would be refused, though the retry of what was done is not.
    with pytest.raises(AlreadyExists):
        await registry.client.models.CreateModel(check)
    assert await registry.client.models.CreateModel(create) == created
    stop = model_service_pb2.StopModelRequest(name="models/tiny", request_id="r1")
    await registry.client.models.StopModel(stop)
    await fleet.start("tiny")
    stop.validate_only = True
    answer = await registry.client.models.StopModel(stop)
    assert answer.model.desired_state == model_pb2.DESIRED_STATE_STOPPED
    assert (await fleet.model("tiny")).desired_state == model_pb2.DESIRED_STATE_RUNNING


async def test_a_check_does_not_wait_for_its_twin_under_way(fleet, registry, database):
    await fleet.create()
    # What a call holds that is under way under the same request_id.
    holder = await asyncpg.connect(database.owner)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute(
        "INSERT INTO requests (method, request_id, fingerprint, created_at) "
        "VALUES ('StopModelRequest', 'r1', '', now())"
    )
    stop = model_service_pb2.StopModelRequest(name="models/tiny", request_id="r1", validate_only=True)
    await registry.client.models.StopModel(stop, timeout=5)
    await transaction.rollback()
    await holder.close()


async def test_validate_only_checks_everything_and_changes_nothing(fleet, registry):
    request = model_service_pb2.CreateModelRequest(
        model_id="tiny", model=model_pb2.Model(source="hf:a/b"), request_id="r1", validate_only=True
    )
    answer = await registry.client.models.CreateModel(request)
    assert answer.model.name == "models/tiny"
    with pytest.raises(NotFound):
        await fleet.model()
    request.validate_only = False
    await registry.client.models.CreateModel(request)
    request.validate_only, request.request_id = True, ""
    with pytest.raises(AlreadyExists):
        await registry.client.models.CreateModel(request)


async def test_all_field_violations_come_at_once(registry):
    request = model_service_pb2.CreateModelRequest(
        model_id="Not A Name", model=model_pb2.Model(replicas=-1, engine=99)
    )
    with pytest.raises(InvalidArgument) as caught:
        await registry.client.models.CreateModel(request)
    text = " ".join(f"{v.field} {v.description}" for v in caught.value.violations)
    for part in ("model_id must be 1 to 63 of", "model.replicas", "model.engine", "model source is required"):
        assert part in text


async def test_a_stale_etag_is_refused_and_changes_nothing(fleet, registry):
    model = await fleet.create()
    await fleet.stop()
    update = model_service_pb2.UpdateModelRequest(
        model=model_pb2.Model(name=model.name, etag=model.etag, replicas=5),
        update_mask={"paths": ["replicas"]},
    )
    with pytest.raises(Aborted) as caught:
        await registry.client.models.UpdateModel(update)
    assert caught.value.reason is ErrorReason.ETAG_MISMATCH
    assert (await fleet.model()).replicas == 1


async def test_an_update_changes_what_its_mask_names_and_no_more(fleet, registry):
    model = await fleet.create(labels={"team": "a"})
    update = model_service_pb2.UpdateModelRequest(
        model=model_pb2.Model(name=model.name, labels={"team": "b"}, replicas=9),
        update_mask={"paths": ["labels"]},
    )
    changed = (await registry.client.models.UpdateModel(update)).model
    assert dict(changed.labels) == {"team": "b"}
    assert changed.replicas == 1
    assert changed.version == model.version + 1


async def test_an_unknown_field_in_a_mask_is_refused(fleet, registry):
    await fleet.create()
    update = model_service_pb2.UpdateModelRequest(
        model=model_pb2.Model(name="models/tiny"), update_mask={"paths": ["uid", "nonsense"]}
    )
    with pytest.raises(InvalidArgument) as caught:
        await registry.client.models.UpdateModel(update)
    assert [violation.field for violation in caught.value.violations] == ["update_mask", "update_mask"]


VLLM = {
    "engine": engine_pb2.ENGINE_KIND_VLLM,
    "engine_version": ">=0.30,<0.33",
    "category": engine_pb2.MODEL_CATEGORY_EMBEDDING,
    "vllm": engine_pb2.VllmOptions(
        gpu_memory_utilization=0.75, tensor_parallel_size=2, dtype=engine_pb2.VLLM_DTYPE_F16
    ),
    "placement": model_pb2.PlacementPolicy(
        gpus=[
            model_pb2.GpuSelector(worker="workers/a", uuid="GPU-1"),
            model_pb2.GpuSelector(
                worker="workers/b",
                position=model_pb2.GpuPosition(kind=worker_pb2.ACCELERATOR_KIND_CUDA, index=0),
            ),
        ],
        gpus_per_replica=2,
        primary_worker="workers/b",
    ),
}


async def test_what_is_wanted_of_vllm_is_kept_as_it_was_given(fleet):
    made = await fleet.create(**VLLM)
    for model in (made, await fleet.model()):
        for field, value in VLLM.items():
            assert getattr(model, field) == value
    plain = await fleet.create("plain")
    assert (plain.engine_version, plain.category) == ("", engine_pb2.MODEL_CATEGORY_UNSPECIFIED)
    assert not plain.HasField("vllm")


async def test_it_is_changed_by_mask_while_the_model_is_stopped(fleet, registry):
    await fleet.create(**VLLM)
    wanted = model_pb2.Model(
        name="models/tiny",
        engine_version="0.32.0",
        category=engine_pb2.MODEL_CATEGORY_RERANKER,
        vllm=engine_pb2.VllmOptions(max_model_len=8192),
        placement=model_pb2.PlacementPolicy(forbid_distributed=True),
    )
    paths = ["engine_version", "category", "vllm", "placement"]
    update = model_service_pb2.UpdateModelRequest(model=wanted, update_mask={"paths": paths})
    with pytest.raises(FailedPrecondition):
        await registry.client.models.UpdateModel(update)
    await fleet.stop()
    changed = (await registry.client.models.UpdateModel(update)).model
    for path in paths:
        assert getattr(changed, path) == getattr(wanted, path)
    assert changed.engine == engine_pb2.ENGINE_KIND_VLLM
    back = model_service_pb2.UpdateModelRequest(
        model=model_pb2.Model(name="models/tiny"), update_mask={"paths": paths}
    )
    cleared = (await registry.client.models.UpdateModel(back)).model
    assert not cleared.HasField("vllm")
    assert not cleared.HasField("placement")


async def test_every_contradiction_is_told_at_once_also_in_a_change(fleet, registry):
    contradictory = {
        "llama_cpp": engine_pb2.LlamaCppOptions(threads=2),
        "engine_version": "newest",
        "replicas": 2,
    }
    with pytest.raises(InvalidArgument) as caught:
        await fleet.create(**VLLM | contradictory)
    fields = {violation.field for violation in caught.value.violations}
    assert fields == {"model.llama_cpp", "model.engine_version", "model.placement.gpus_per_replica"}
    await fleet.create(**VLLM)
    update = model_service_pb2.UpdateModelRequest(
        model=model_pb2.Model(name="models/tiny", replicas=2), update_mask={"paths": ["replicas"]}
    )
    with pytest.raises(InvalidArgument, match="2 x 2 replicas = 4 GPUs, and placement"):
        await registry.client.models.UpdateModel(update)
    assert (await fleet.model()).replicas == 1


@pytest.mark.parametrize(
    ("model", "field"),
    [
        (model_pb2.Model(vllm=engine_pb2.VllmOptions(gpu_memory_utilization=1.5)), "gpu_memory_utilization"),
        (
            model_pb2.Model(vllm=engine_pb2.VllmOptions(gpu_memory_utilization=float("nan"))),
            "gpu_memory_utilization",
        ),
        (model_pb2.Model(vllm=engine_pb2.VllmOptions(tensor_parallel_size=-1)), "tensor_parallel_size"),
        (model_pb2.Model(placement=model_pb2.PlacementPolicy(gpus_per_replica=-1)), "gpus_per_replica"),
        (model_pb2.Model(placement=model_pb2.PlacementPolicy(primary_worker="gpu-01")), "primary_worker"),
        (
            model_pb2.Model(
                placement=model_pb2.PlacementPolicy(gpus=[model_pb2.GpuSelector(worker="workers/a")])
            ),
            "gpus[0]",
        ),
        (model_pb2.Model(category=99), "category"),
    ],
)
async def test_values_that_cannot_be_are_refused_with_their_field(registry, model, field):
    model.source = "hf:a/b"
    request = model_service_pb2.CreateModelRequest(model_id="tiny", model=model)
    with pytest.raises(InvalidArgument) as caught:
        await registry.client.models.CreateModel(request)
    assert any(field in violation.field for violation in caught.value.violations)


async def test_scaling_adds_and_removes_instances(fleet, registry):
    await fleet.create(replicas=1)

    async def scale(replicas):
        await registry.client.models.UpdateModel(
            model_service_pb2.UpdateModelRequest(
                model=model_pb2.Model(name="models/tiny", replicas=replicas),
                update_mask={"paths": ["replicas"]},
            )
        )
        return len(await fleet.instances())

    assert await scale(4) == 4
    assert await scale(0) == 0


async def test_what_runs_is_not_changed_under_it(fleet, registry):
    await fleet.create()
    update = model_service_pb2.UpdateModelRequest(
        model=model_pb2.Model(name="models/tiny", source="hf:a/other"), update_mask={"paths": ["source"]}
    )
    with pytest.raises(FailedPrecondition) as caught:
        await registry.client.models.UpdateModel(update)
    assert caught.value.reason is ErrorReason.MODEL_NOT_STOPPED
    await fleet.stop()
    changed = (await registry.client.models.UpdateModel(update)).model
    assert changed.source == "hf:a/other"
    assert changed.resolution.state == model_pb2.RESOLUTION_STATE_RESOLVING


async def test_stop_and_start_keep_the_instances_names(fleet):
    await fleet.create(replicas=2)
    before = {instance.name for instance in await fleet.instances()}
    await fleet.stop()
    assert {i.state for i in await fleet.instances()} == {instance_pb2.INSTANCE_STATE_STOPPED}
    await fleet.start()
    after = await fleet.instances()
    assert {instance.name for instance in after} == before
    assert {i.state for i in after} == {instance_pb2.INSTANCE_STATE_PENDING}


async def test_stop_and_start_succeed_whatever_the_state(fleet):
    await fleet.create()
    once = await fleet.stop()
    assert (await fleet.stop()).version == once.version
    again = await fleet.start()
    assert (await fleet.start()).version == again.version


async def test_a_model_that_holds_nothing_is_deleted_at_once(fleet):
    await fleet.create(replicas=2)
    assert not (await fleet.delete()).HasField("model")
    with pytest.raises(NotFound):
        await fleet.model()
    await fleet.create()


async def test_lists_come_in_pages_and_tokens_belong_to_their_query(fleet, registry):
    for number in range(5):
        await fleet.create(f"m{number}")
    names, token = [], ""
    for _ in range(3):
        page = await registry.client.models.ListModels(
            model_service_pb2.ListModelsRequest(page_size=2, page_token=token)
        )
        names += [model.name for model in page.models]
        token = page.next_page_token
    assert names == [f"models/m{number}" for number in range(5)]
    assert token == ""
    first = await registry.client.models.ListModels(model_service_pb2.ListModelsRequest(page_size=2))
    for request in (
        instance_service_pb2.ListInstancesRequest(parent="models/-", page_token=first.next_page_token),
        instance_service_pb2.ListInstancesRequest(parent="models/-", page_token="garbage!"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            await registry.client.instances.ListInstances(request)
        assert caught.value.reason is ErrorReason.PAGE_TOKEN_INVALID
