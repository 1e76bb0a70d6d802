"""Artifacts, copies and downloads, as records and as protos."""

from datetime import datetime

from moorage.common.v1 import model_facts_pb2
from moorage.registry.v1 import artifact_pb2
from moorage_common.core.ids import new_uid
from moorage_common.core.names import (
    artifact_copy_name,
    artifact_name,
    download_name,
    parse_artifact,
    worker_name,
)
from moorage_common.rpc.enums import COPY_STATE, DOWNLOAD_STATE, PULL_STATE
from moorage_registry.convert.json import error_to_proto, from_json, timestamp, to_json
from moorage_registry.core.records import Artifact, ArtifactCopy, Download


def artifact_to_proto(artifact: Artifact) -> artifact_pb2.Artifact:
    """Returns an artifact as watchers see it."""
    return artifact_pb2.Artifact(
        name=artifact_name(artifact.id),
        uid=artifact.uid,
        etag=artifact.etag,
        version=artifact.version,
        create_time=timestamp(artifact.created_at),
        update_time=timestamp(artifact.updated_at),
        source=artifact.source,
        revision=artifact.revision,
        files=files_to_proto(artifact),
        entry_point=artifact.entry_point,
        size_bytes=artifact.size_bytes,
        facts=from_json(artifact.facts, model_facts_pb2.ModelFacts()),
        pull=artifact_pb2.Pull(
            state=PULL_STATE.to_proto(artifact.pull_state),
            address=artifact.pull_address,
            done_bytes=artifact.pull_done_bytes,
            bytes_per_second=artifact.pull_bytes_per_second,
            error=error_to_proto(artifact.pull_error),
        ),
    )


def artifact_from_proto(artifact: artifact_pb2.Artifact, *, now: datetime) -> Artifact:
    """Returns the record of an artifact that a downloader resolved."""
    return Artifact(
        uid=new_uid(),
        created_at=now,
        updated_at=now,
        id=parse_artifact(artifact.name),
        source=artifact.source,
        revision=artifact.revision,
        files=[to_json(file) for file in artifact.files],
        entry_point=artifact.entry_point,
        size_bytes=sum(file.size_bytes for file in artifact.files),
        facts=to_json(artifact.facts),
    )


def files_to_proto(artifact: Artifact) -> list[artifact_pb2.ArtifactFile]:
    """Returns an artifact's files."""
    return [from_json(file, artifact_pb2.ArtifactFile()) for file in artifact.files]


def copy_to_proto(copy: ArtifactCopy) -> artifact_pb2.ArtifactCopy:
    """Returns a copy as watchers see it."""
    return artifact_pb2.ArtifactCopy(
        name=artifact_copy_name(copy.artifact_id, copy.worker_id),
        uid=copy.uid,
        etag=copy.etag,
        version=copy.version,
        create_time=timestamp(copy.created_at),
        update_time=timestamp(copy.updated_at),
        artifact=artifact_name(copy.artifact_id),
        worker=worker_name(copy.worker_id),
        state=COPY_STATE.to_proto(copy.state),
        done_bytes=copy.done_bytes,
        size_bytes=copy.size_bytes,
        bytes_per_second=copy.bytes_per_second,
        error=error_to_proto(copy.error),
    )


def download_to_proto(download: Download) -> artifact_pb2.DownloadRecord:
    """Returns a download as watchers see it."""
    return artifact_pb2.DownloadRecord(
        name=download_name(download.id),
        uid=download.uid,
        etag=download.etag,
        version=download.version,
        create_time=timestamp(download.created_at),
        update_time=timestamp(download.updated_at),
        source=download.source,
        workers=[worker_name(worker_id) for worker_id in download.workers],
        state=DOWNLOAD_STATE.to_proto(download.state),
        artifact=artifact_name(download.artifact_id) if download.artifact_id else "",
        error=error_to_proto(download.error),
    )
