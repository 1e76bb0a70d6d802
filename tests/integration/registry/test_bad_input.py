"""What nobody should send: it gets an error that says what is wrong, and nothing is changed."""

import base64
import json

import pytest
from fleet_tools import GIB, SOURCE
from google.protobuf import any_pb2
from google.rpc import code_pb2, status_pb2

from moorage.registry.v1 import (
    artifact_pb2,
    artifact_service_pb2,
    instance_pb2,
    instance_service_pb2,
    model_pb2,
    model_service_pb2,
)
from moorage_common.core.errors import ErrorReason, InvalidArgument, NotFound
from moorage_registry.core.pages import query_id

BIG = (1 << 63) - 1


@pytest.mark.parametrize("fields", [{"source": "hf:a/\0"}, {"source": SOURCE, "labels": {"a": "\0"}}])
async def test_a_nul_character_is_refused(fleet, fields):
    with pytest.raises(InvalidArgument, match="NUL"):
        await fleet.create(**fields)
    with pytest.raises(NotFound):
        await fleet.model()


async def test_a_nul_character_in_a_request_id_is_refused(registry):
    request = model_service_pb2.CreateModelRequest(
        model_id="tiny", model=model_pb2.Model(source=SOURCE), request_id="\0"
    )
    with pytest.raises(InvalidArgument, match="NUL"):
        await registry.client.models.CreateModel(request)


@pytest.mark.parametrize("key", ["a\0", "\ud800", 5, None])
async def test_a_page_token_made_up_by_somebody_is_refused(registry, key):
    made_up = json.dumps([query_id("models", "", ""), key])
    token = base64.urlsafe_b64encode(made_up.encode()).decode()
    with pytest.raises(InvalidArgument) as caught:
        await registry.client.models.ListModels(model_service_pb2.ListModelsRequest(page_token=token))
    assert caught.value.reason is ErrorReason.PAGE_TOKEN_INVALID


async def test_sizes_that_add_up_to_more_than_a_number_holds_are_refused(fleet):
    artifact = fleet.artifact()
    artifact.files.add(path="more", size_bytes=BIG)
    with pytest.raises(InvalidArgument, match=r"artifact\.files"):
        await fleet.client.artifacts.RecordArtifact(
            artifact_service_pb2.RecordArtifactRequest(artifact=artifact)
        )


async def test_an_entry_point_is_among_the_files_of_an_artifact_whoever_records_it(fleet):
    artifact = fleet.artifact()
    artifact.entry_point = "other.gguf"
    with pytest.raises(InvalidArgument, match="entry_point"):
        await fleet.client.artifacts.RecordArtifact(
            artifact_service_pb2.RecordArtifactRequest(artifact=artifact)
        )


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../../up", "a/..", "./a", "a//b", "a/"])
async def test_a_file_that_leaves_its_artifact_is_refused(fleet, path):
    artifact = fleet.artifact()
    artifact.files.add(path=path, size_bytes=1)
    with pytest.raises(InvalidArgument, match="path"):
        await fleet.client.artifacts.RecordArtifact(
            artifact_service_pb2.RecordArtifactRequest(artifact=artifact)
        )


async def test_details_that_the_registry_does_not_know_do_not_keep_an_error_from_being_told(fleet):
    async with fleet.agent() as agent:
        instance = await fleet.bound(agent)
        error = status_pb2.Status(code=code_pb2.INTERNAL, message="the engine exited")
        error.details.append(any_pb2.Any(type_url="type.googleapis.com/acme.Unheard", value=b"x"))
        error.details.append(any_pb2.Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff"))
        failed = await agent.report(instance, instance_pb2.INSTANCE_STATE_ERROR, error=error)
        assert failed.error.message == "the engine exited"
        assert not failed.error.details


async def test_an_error_that_says_ok_is_refused(fleet):
    async with fleet.agent() as agent:
        await fleet.create()
        artifact = await fleet.resolve_all()
        [instance] = await fleet.instances()
        await fleet.nominate((instance, "gpu-01"))
        with pytest.raises(InvalidArgument, match="error"):
            await agent.report_copy(artifact, artifact_pb2.COPY_STATE_FAILED, error=status_pb2.Status())


@pytest.mark.parametrize(
    "claims",
    [
        [],
        [("gpu-01", "ram", 0)],
        [("gpu-01", "ram", -GIB)],
        [("gpu-01", "ram", GIB), ("gpu-01", "ram", GIB)],
        [("gpu-02", "ram", GIB)],
    ],
    ids=["none", "empty", "negative", "twice", "elsewhere"],
)
async def test_claims_name_each_pool_of_the_worker_once_with_what_they_take(fleet, claims):
    async with fleet.agent() as agent:
        await fleet.create(replicas=2)
        artifact = await fleet.resolve_all()
        first, second = await fleet.instances()
        await fleet.nominate((first, "gpu-01"), (second, "gpu-01"))
        await agent.report_copy(artifact, artifact_pb2.COPY_STATE_READY)
        first, second = await fleet.instances()
        binding = fleet.binding(second)
        del binding.placement.claims[:]
        for worker, pool, size in claims:
            binding.placement.claims.add(worker=f"workers/{worker}", pool=pool, size_bytes=size)
        with pytest.raises(InvalidArgument, match="claims"):
            await fleet.bind(fleet.binding(first), binding)
        assert {i.state for i in await fleet.instances()} == {instance_pb2.INSTANCE_STATE_FETCHED}


async def test_a_pull_brings_the_files_of_its_artifact_and_their_digests(fleet):
    async with fleet.agent():
        await fleet.create()
        await fleet.resolve_all()
        [instance] = await fleet.instances()
        await fleet.nominate((instance, "gpu-01"))
        [lease] = await fleet.lease_pulls()
        digest = {"sha256": "ab" * 32}
        for files in (
            [artifact_pb2.ArtifactFile(path="model.gguf", size_bytes=1000)],
            [artifact_pb2.ArtifactFile(path="model.gguf", size_bytes=999, **digest)],
            [artifact_pb2.ArtifactFile(path="other.gguf", size_bytes=1000, **digest)],
        ):
            report = artifact_service_pb2.ReportPullRequest(
                lease_id=lease.lease_id, pulled=artifact_service_pb2.PulledFiles(files=files)
            )
            with pytest.raises(InvalidArgument, match=r"pulled\.files"):
                await fleet.client.artifacts.ReportPull(report)
        await fleet.finish_pull(lease)


async def test_malformed_names_say_what_a_name_looks_like(registry):
    with pytest.raises(InvalidArgument, match=r"models/\{model\}/instances/\{instance\}"):
        await registry.client.instances.GetInstance(
            instance_service_pb2.GetInstanceRequest(name="models/a/b/c/d")
        )
    with pytest.raises(InvalidArgument, match=r"parent is invalid"):
        await registry.client.instances.ListInstances(
            instance_service_pb2.ListInstancesRequest(parent="models/a/instances/b")
        )
