"""The downloader as a service: resolving and pulling for a real registry, serving blobs over real sockets."""

import asyncio
import hashlib
import os
import signal

import asyncpg
import pytest
from safetensors_files import write_model

from moorage.common.v1 import engine_pb2
from moorage.downloader.v1.blob_service_pb2 import ReadBlobRequest, StatBlobRequest
from moorage.downloader.v1.download_service_pb2 import (
    CancelDownloadRequest,
    CreateDownloadRequest,
    Download,
    GetDownloadRequest,
    InspectSourceRequest,
    ListDownloadsRequest,
    WatchDownloadRequest,
)
from moorage.registry.v1 import artifact_pb2 as states
from moorage.registry.v1 import model_pb2
from moorage.registry.v1.artifact_service_pb2 import (
    CreateDownloadRecordRequest,
    GetDownloadRecordRequest,
    ListArtifactsRequest,
)
from moorage.registry.v1.audit_service_pb2 import ListAuditRecordsRequest
from moorage_common.core.errors import (
    DataLoss,
    ErrorReason,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
    Unavailable,
)
from moorage_common.rpc.channels import reading
from moorage_common.rpc.status import from_status, to_status

MIB = 1 << 20


@pytest.fixture
def model_bytes(tiny_model, add_file):
    """A real model whose pull takes a while: 24 MiB of it come after the tensors."""
    content = tiny_model + os.urandom(24 * MIB)
    add_file("m.gguf", content)
    return content


async def read(client, artifact, path="m.gguf", offset=0):
    parts, sha256 = [], ""
    request = ReadBlobRequest(artifact=artifact, path=path, offset_bytes=offset)
    async with reading(client.blobs.ReadBlob(request)) as responses:
        async for response in responses:
            parts.append(response.data)
            sha256 = response.sha256
    return b"".join(parts), sha256


async def until(get, check):
    """What is asked for again and again, once it is as it should be."""
    async with asyncio.timeout(30):
        while not check(value := await get()):
            await asyncio.sleep(0.02)
    return value


async def pulled(fleet, artifact, state=states.PULL_STATE_COMPLETE):
    return await until(lambda: fleet.get_artifact(artifact), lambda found: found.pull.state == state)


async def resolved(fleet, state=model_pb2.RESOLUTION_STATE_RESOLVED):
    model = await until(fleet.model, lambda model: model.resolution.state == state)
    return model.resolution


async def download(downloader, *workers, source="hf:org/model"):
    wanted = Download(source=source, workers=workers or ["workers/gpu-01"])
    response = await downloader.client.downloads.CreateDownload(CreateDownloadRequest(download=wanted))
    return response.download


async def recorded(fleet):
    """A download that is wanted before any downloader is there."""
    wanted = states.DownloadRecord(source="hf:org/model", workers=["workers/gpu-01"])
    response = await fleet.client.artifacts.CreateDownloadRecord(CreateDownloadRecordRequest(download=wanted))
    return response.download.name


async def record_of(fleet, name):
    return (await fleet.client.artifacts.GetDownloadRecord(GetDownloadRecordRequest(name=name))).download


async def begun(fleet, downloader, name):
    """The artifact of a download, once it is being pulled."""

    async def get():
        return (await downloader.client.downloads.GetDownload(GetDownloadRequest(name=name))).download

    found = await until(get, lambda current: current.artifact)
    await until(
        lambda: fleet.get_artifact(found.artifact),
        lambda artifact: artifact.pull.state in {states.PULL_STATE_PULLING, states.PULL_STATE_COMPLETE},
    )
    return found.artifact


async def test_a_model_is_resolved_as_soon_as_it_is_created(fleet, downloader, add_file, tiny_model):
    add_file("m.gguf", tiny_model)
    await fleet.create(source="hf:org/model")
    artifact = await fleet.get_artifact((await resolved(fleet)).artifact)
    assert artifact.source.startswith("hf:org/model@")
    assert artifact.entry_point == "m.gguf"
    assert artifact.facts.gguf.block_count == 4
    assert list(artifact.facts.gguf.block_bytes) == [147968] * 4
    assert artifact.files[0].sha256 == hashlib.sha256(tiny_model).hexdigest()
    assert artifact.files[0].digest_origin == states.DIGEST_ORIGIN_SOURCE
    assert artifact.pull.state == states.PULL_STATE_IDLE


async def test_a_model_in_safetensors_is_resolved_stored_and_pulled(fleet, hub_root, downloader):
    folder = write_model(hub_root / "org/model", shards=2, files=("tokenizer.json", "1_Pooling/config.json"))
    await fleet.create(source="hf:org/model")
    artifact = await fleet.get_artifact((await resolved(fleet)).artifact)
    assert artifact.entry_point == "config.json"
    facts = artifact.facts.safetensors
    assert (facts.architecture, facts.head_count, facts.head_count_kv) == ("LlamaForCausalLM", 8, 2)
    assert dict(facts.tensor_bytes_by_dtype) == {"BF16": facts.total_tensor_bytes - 256, "F32": 256}
    assert facts.category == engine_pb2.MODEL_CATEGORY_LLM
    chosen = 'facts.safetensors.model_type = "llama" AND facts.safetensors.category = LLM'
    found = await fleet.client.artifacts.ListArtifacts(ListArtifactsRequest(filter=chosen))
    assert [listed.name for listed in found.artifacts] == [artifact.name]
    async with fleet.agent("gpu-01"):
        await download(downloader)
        await pulled(fleet, artifact.name)
        for path in ("model-00002-of-00002.safetensors", "1_Pooling/config.json"):
            assert (await read(downloader.client, artifact.name, path))[0] == (folder / path).read_bytes()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("hf:org/model/none.gguf", ErrorReason.SOURCE_NOT_FOUND),
        ("hf:org/model/broken.gguf", ErrorReason.MODEL_FILE_INVALID),
        ("nonsense", ErrorReason.SOURCE_INVALID),
    ],
)
async def test_what_cannot_be_resolved_fails_with_its_reason(fleet, downloader, add_file, source, reason):
    add_file("broken.gguf", b"<!DOCTYPE html>")
    await fleet.create(source=source)
    error = from_status((await resolved(fleet, model_pb2.RESOLUTION_STATE_FAILED)).error)
    assert error.reason is reason
    with pytest.raises((NotFound, FailedPrecondition, InvalidArgument)) as caught:
        await downloader.client.downloads.InspectSource(InspectSourceRequest(source=source))
    assert (type(caught.value), caught.value.reason) == (type(error), reason)


async def test_a_hub_that_is_away_is_tried_again(fleet, hub, downloader, add_file, tiny_model):
    add_file("m.gguf", tiny_model)
    hub.faults.failures = 1
    await fleet.create(source="hf:org/model")
    model = await until(
        fleet.model, lambda model: model.resolution.HasField("error") or model.resolution.artifact
    )
    assert model.resolution.state == model_pb2.RESOLUTION_STATE_RESOLVING
    assert from_status(model.resolution.error).reason is ErrorReason.SOURCE_UNAVAILABLE
    assert not (await resolved(fleet)).HasField("error")


async def test_an_inspection_stores_the_artifact_and_moves_no_weights(fleet, hub, downloader, model_bytes):
    response = await downloader.client.downloads.InspectSource(InspectSourceRequest(source="hf:org/model"))
    assert response.artifact.size_bytes == len(model_bytes)
    assert (await fleet.get_artifact(response.artifact.name)).facts == response.artifact.facts
    assert hub.seen.body_bytes <= MIB
    again = await downloader.client.downloads.InspectSource(InspectSourceRequest(source="hf:org/model"))
    assert again.artifact.uid == response.artifact.uid


async def test_n_readers_of_one_pull_while_it_arrives(fleet, hub, downloader, model_bytes):
    hub.faults.rate_bytes_per_s = 60 * MIB
    async with fleet.agent("gpu-01"):
        artifact = await begun(fleet, downloader, (await download(downloader)).name)
        stat = await downloader.client.blobs.StatBlob(StatBlobRequest(artifact=artifact, path="m.gguf"))
        assert (stat.size_bytes, stat.sha256) == (len(model_bytes), "")
        assert stat.available_bytes < len(model_bytes)
        offsets = [0, 0, 1, 20 * MIB, len(model_bytes)]
        answers = await asyncio.gather(
            *[read(downloader.client, artifact, offset=offset) for offset in offsets]
        )
        sha256 = hashlib.sha256(model_bytes).hexdigest()
        assert answers == [(model_bytes[offset:], sha256) for offset in offsets]
        await pulled(fleet, artifact)
        stat = await downloader.client.blobs.StatBlob(StatBlobRequest(artifact=artifact, path="m.gguf"))
        assert (stat.available_bytes, stat.sha256) == (len(model_bytes), sha256)
        assert (await read(downloader.client, artifact, offset=5))[0] == model_bytes[5:]
    assert hub.seen.bytes_by_file["m.gguf"] <= len(model_bytes) + MIB  # the header was inspected


async def test_blobs_that_are_not_held_here(fleet, downloader, model_bytes):
    for method, request in [
        (downloader.client.blobs.StatBlob, StatBlobRequest(artifact="artifacts/none", path="m.gguf")),
        (lambda _: read(downloader.client, "artifacts/none"), None),
    ]:
        with pytest.raises(NotFound) as caught:
            await method(request)
        assert caught.value.reason is ErrorReason.BLOB_NOT_FOUND
    async with fleet.agent("gpu-01"):
        artifact = await begun(fleet, downloader, (await download(downloader)).name)
        await pulled(fleet, artifact)
        with pytest.raises(OutOfRange):
            await read(downloader.client, artifact, offset=len(model_bytes) + 1)
        with pytest.raises(NotFound):
            await read(downloader.client, artifact, path="../../etc/passwd")


async def test_a_download_is_watched_to_its_end(fleet, hub, downloader, model_bytes):
    hub.faults.rate_bytes_per_s = 16 * MIB
    async with fleet.agent("gpu-01") as agent:
        wanted = await download(downloader)
        assert (wanted.state, wanted.source) == (states.DOWNLOAD_STATE_RESOLVING, "hf:org/model")
        assert (await download(downloader)).name == wanted.name
        events = []
        request = WatchDownloadRequest(name=wanted.name)
        async with reading(downloader.client.downloads.WatchDownload(request)) as stream:
            async for event in stream:
                events.append(event)
                if event.download.pull.done_bytes == len(model_bytes):
                    await agent.report_copy(event.download.artifact, states.COPY_STATE_READY)
    views = [event.download for event in events]
    assert [event.sequence for event in events] == sorted({event.sequence for event in events})
    assert views[-1].state == states.DOWNLOAD_STATE_COMPLETE
    assert views[-1].worker_progress[0].state == states.COPY_STATE_READY
    assert views[-1].size_bytes == len(model_bytes)
    done = [view.pull.done_bytes for view in views]
    assert done == sorted(done)
    assert len({count for count in done if 0 < count < len(model_bytes)}) >= 2
    assert any(view.pull.HasField("remaining") and view.pull.bytes_per_second for view in views)
    request = WatchDownloadRequest(name=wanted.name, after_sequence=events[-1].sequence)
    async with reading(downloader.client.downloads.WatchDownload(request)) as stream:
        assert [event async for event in stream] == []
    listed = await downloader.client.downloads.ListDownloads(ListDownloadsRequest())
    assert list(listed.downloads) == [views[-1]]


async def test_the_audit_records_name_whoever_asked_the_downloader(fleet, downloader):
    await fleet.register("gpu-01")
    who = [("x-moorage-actor", "ada@bridge")]
    request = CreateDownloadRequest(
        download=Download(source="hf:org/model", workers=["workers/gpu-01"]), request_id="once"
    )
    created = await downloader.client.downloads.CreateDownload(request, metadata=who)
    cancel = CancelDownloadRequest(name=created.download.name)
    await downloader.client.downloads.CancelDownload(cancel, metadata=[("x-moorage-actor", "bob@deck")])
    wanted = ListAuditRecordsRequest(filter='resource = "downloads/*"', order_by="time")
    found = (await fleet.client.audit.ListAuditRecords(wanted)).records
    assert [(record.method.rpartition("/")[2], record.actor) for record in found] == [
        ("CreateDownloadRecord", "ada@bridge"),
        ("CancelDownloadRecord", "bob@deck"),
    ]


async def test_lists_are_filtered_and_ordered(fleet, downloader):
    await fleet.register("gpu-01")
    await fleet.register("gpu-02", node="node-2")
    wanted = [
        await download(downloader, worker, source=f"hf:org/model{number}")
        for number, worker in enumerate(["workers/gpu-01", "workers/gpu-02", "workers/gpu-02"])
    ]
    query = {"filter": 'workers:"workers/gpu-02"', "order_by": "source desc"}
    first = await downloader.client.downloads.ListDownloads(ListDownloadsRequest(**query, page_size=1))
    assert [found.name for found in first.downloads] == [wanted[2].name]
    token = first.next_page_token
    second = await downloader.client.downloads.ListDownloads(ListDownloadsRequest(**query, page_token=token))
    assert [found.name for found in second.downloads] == [wanted[1].name]
    with pytest.raises(InvalidArgument) as caught:
        await downloader.client.downloads.ListDownloads(ListDownloadsRequest(page_token=token))
    assert caught.value.reason is ErrorReason.PAGE_TOKEN_INVALID
    with pytest.raises(InvalidArgument) as caught:
        await downloader.client.downloads.ListDownloads(ListDownloadsRequest(filter="state = LOST"))
    assert caught.value.reason is ErrorReason.FILTER_INVALID
    assert caught.value.metadata["position"] == "9"


async def test_a_watch_is_taken_up_after_the_sequence_last_seen(fleet, hub, downloader, model_bytes):
    hub.faults.rate_bytes_per_s = 16 * MIB
    async with fleet.agent("gpu-01"):
        name = (await download(downloader)).name
        seen, sequence = [], 0
        while not seen or seen[-1].pull.done_bytes < len(model_bytes):
            request = WatchDownloadRequest(name=name, after_sequence=sequence)
            async with reading(downloader.client.downloads.WatchDownload(request)) as stream:
                event = await anext(aiter(stream))
            assert event.sequence > sequence
            sequence = event.sequence
            seen.append(event.download)
        assert seen[-1].state == states.DOWNLOAD_STATE_FETCHING


async def test_a_cancelled_download_stops_its_pull(fleet, hub, downloader, model_bytes):
    hub.faults.rate_bytes_per_s = 2 * MIB
    async with fleet.agent("gpu-01"):
        name = (await download(downloader)).name
        artifact = await begun(fleet, downloader, name)
        reader = asyncio.create_task(read(downloader.client, artifact))
        response = await downloader.client.downloads.CancelDownload(CancelDownloadRequest(name=name))
        assert response.download.state == states.DOWNLOAD_STATE_CANCELLED
        await pulled(fleet, artifact, states.PULL_STATE_IDLE)
        with pytest.raises(Unavailable):
            await reader
    with pytest.raises(NotFound):
        await downloader.client.downloads.CancelDownload(CancelDownloadRequest(name="downloads/none"))


async def test_wrong_input_is_refused(fleet, downloader):
    for source in ("", "nonsense"):
        with pytest.raises(InvalidArgument):
            await download(downloader, source=source)
    with pytest.raises(NotFound):
        await download(downloader, "workers/nobody")
    with pytest.raises(NotFound):
        await downloader.client.downloads.GetDownload(GetDownloadRequest(name="downloads/none"))
    with pytest.raises(NotFound):
        async with reading(
            downloader.client.downloads.WatchDownload(WatchDownloadRequest(name="downloads/none"))
        ) as stream:
            await anext(aiter(stream))


async def test_content_that_stays_wrong_fails_the_download_with_the_digests(
    fleet, hub, downloader, model_bytes
):
    hub.faults.flips, hub.faults.flip_offset = 100, 20 * MIB
    async with fleet.agent("gpu-01"):
        name = (await download(downloader)).name
        artifact = await begun(fleet, downloader, name)
        with pytest.raises((DataLoss, Unavailable)):
            while True:
                await read(downloader.client, artifact)
        failed = await pulled(fleet, artifact, states.PULL_STATE_FAILED)
        error = from_status(failed.pull.error)
        assert error.reason is ErrorReason.DIGEST_MISMATCH
        assert hashlib.sha256(model_bytes).hexdigest() in error.message
        view = (await downloader.client.downloads.GetDownload(GetDownloadRequest(name=name))).download
        assert view.state == states.DOWNLOAD_STATE_FAILED
        assert from_status(view.error).reason is ErrorReason.DIGEST_MISMATCH


async def test_a_pull_that_meets_trouble_tells_so_while_it_goes_on(fleet, hub, downloader, model_bytes):
    request = InspectSourceRequest(source="hf:org/model")
    name = (await downloader.client.downloads.InspectSource(request)).artifact.name
    hub.faults.cuts, hub.faults.cut_after_bytes = 1, 2 * MIB
    hub.faults.rate_bytes_per_s = 20 * MIB
    hub.faults.failure_headers = {"Retry-After": "1"}
    async with fleet.agent("gpu-01"):
        await download(downloader)
        await until(lambda: asyncio.sleep(0), lambda _: hub.faults.cuts == 0)
        hub.faults.failures = 1
        troubled = await until(lambda: fleet.get_artifact(name), lambda found: found.pull.HasField("error"))
        assert troubled.pull.state == states.PULL_STATE_PULLING
        assert from_status(troubled.pull.error).reason is ErrorReason.SOURCE_UNAVAILABLE
        assert not (await pulled(fleet, name)).pull.HasField("error")


async def test_a_blob_that_vanished_is_pulled_again(fleet, hub, downloader, model_bytes, cache):
    async with fleet.agent("gpu-01") as agent:
        artifact = await begun(fleet, downloader, (await download(downloader)).name)
        await pulled(fleet, artifact)
        (blob,) = (cache / "blobs").glob("*/*")
        blob.unlink()
        with pytest.raises(NotFound, match="gone from the cache") as caught:
            await read(downloader.client, artifact)
        await agent.report_copy(artifact, states.COPY_STATE_FAILED, error=to_status(caught.value))
        await until(lambda: asyncio.to_thread(blob.exists), bool)
        await pulled(fleet, artifact)
        assert (await read(downloader.client, artifact))[0] == model_bytes


async def test_kill_9_costs_at_most_what_was_on_its_way(fleet, hub, spawn_downloader, model_bytes, cache):
    hub.faults.rate_bytes_per_s = 12 * MIB
    async with fleet.agent("gpu-01"):
        name = await recorded(fleet)
        for wanted in (5 * MIB, 10 * MIB, 15 * MIB):
            async with spawn_downloader() as process:
                await until(lambda: asyncio.to_thread(arrived, cache), wanted.__le__)
                process.send_signal(signal.SIGKILL)
                await process.wait()
        kept, inspected = arrived(cache), MIB
        assert hub.seen.bytes_by_file["m.gguf"] - inspected - kept <= 3 * 4 * MIB
        hub.faults.rate_bytes_per_s = 0
        async with spawn_downloader():
            artifact = (await record_of(fleet, name)).artifact
            found = await pulled(fleet, artifact)
        assert hub.seen.requests[-1].range == f"bytes={kept}-{len(model_bytes) - 1}"
        assert found.files[0].sha256 == hashlib.sha256(model_bytes).hexdigest()
        (blob,) = (cache / "blobs").glob("*/*")
        assert blob.read_bytes() == model_bytes


def arrived(cache):
    paths = cache.glob("arriving/sha256-*")
    return sum(path.stat().st_size for path in paths if path.suffix != ".json")


async def lapse_leases(database):
    """Lets the time of every lease run out, as seen by the database's clock."""
    connection = await asyncpg.connect(database.owner)
    await connection.execute("UPDATE artifacts SET pull_lease_expires_at = now() - interval '1 second'")
    await connection.close()


async def test_a_second_downloader_takes_over_what_the_first_one_drops(
    fleet, hub, spawn_downloader, run_downloader, model_bytes, tmp_path, database
):
    hub.faults.rate_bytes_per_s = 4 * MIB
    async with fleet.agent("gpu-01"):
        name = await recorded(fleet)
        async with spawn_downloader() as first:
            record = await until(lambda: record_of(fleet, name), lambda record: record.artifact)
            await pulled(fleet, record.artifact, states.PULL_STATE_PULLING)
            async with run_downloader(cache_dir=str(tmp_path / "other")) as second:
                await asyncio.sleep(0.5)
                with pytest.raises(NotFound):
                    await read(second.client, record.artifact)
                first.kill()
                await lapse_leases(database)
                hub.faults.rate_bytes_per_s = 0
                found = await pulled(fleet, record.artifact)
                assert found.pull.address == second.address
                assert (await read(second.client, record.artifact))[0] == model_bytes


async def test_sigterm_ends_it_cleanly_in_the_middle_of_a_pull(fleet, hub, spawn_downloader, model_bytes):
    hub.faults.rate_bytes_per_s = 4 * MIB
    async with fleet.agent("gpu-01"):
        name = await recorded(fleet)
        async with spawn_downloader() as process:
            record = await until(lambda: record_of(fleet, name), lambda record: record.artifact)
            await pulled(fleet, record.artifact, states.PULL_STATE_PULLING)
            process.terminate()
            assert await process.wait() == 0


async def test_two_processes_do_not_share_a_cache(downloader, spawn_downloader):
    async with spawn_downloader() as process:
        assert await process.wait() == 1
