"""Artifacts and their facts, as values of the downloader and as protos."""

from dataclasses import fields
from typing import Any

from google.protobuf.descriptor import Descriptor

from moorage.common.v1 import model_facts_pb2
from moorage.registry.v1 import artifact_pb2
from moorage_common.core.names import artifact_name
from moorage_common.core.placement import ModelCategory
from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_common.modelfiles.safetensors_facts import SafetensorsFacts
from moorage_common.rpc.enums import MODEL_CATEGORY, EnumMap
from moorage_downloader.core.artifact import Artifact, ArtifactFile, DigestOrigin
from moorage_downloader.resolver import Resolution

_DIGEST_ORIGIN = EnumMap(artifact_pb2.DigestOrigin, DigestOrigin)


def resolution_to_proto(resolution: Resolution) -> artifact_pb2.Artifact:
    """Returns an artifact as the registry wants it of a downloader."""
    artifact = resolution.artifact
    return artifact_pb2.Artifact(
        name=artifact_name(artifact.id),
        source=artifact.source,
        revision=artifact.revision,
        files=[file_to_proto(file) for file in artifact.files],
        entry_point=artifact.entry_point,
        size_bytes=artifact.size_bytes,
        facts=facts_to_proto(resolution.facts),
    )


def facts_to_proto(facts: GgufFacts | SafetensorsFacts) -> model_facts_pb2.ModelFacts:
    """Returns what the headers say of a model."""
    if isinstance(facts, SafetensorsFacts):
        values = _values(facts, model_facts_pb2.SafetensorsFacts.DESCRIPTOR)
        return model_facts_pb2.ModelFacts(safetensors=model_facts_pb2.SafetensorsFacts(**values))
    values = _values(facts, model_facts_pb2.GgufFacts.DESCRIPTOR)
    return model_facts_pb2.ModelFacts(gguf=model_facts_pb2.GgufFacts(**values))


def _values(facts: GgufFacts | SafetensorsFacts, message: Descriptor) -> dict[str, Any]:
    """The value of each field of a message: they have the names of the facts', which may be more."""
    values = {field.name: getattr(facts, field.name) for field in fields(facts)}
    return {
        name: MODEL_CATEGORY.to_proto(value) if isinstance(value, ModelCategory) else value
        for name, value in values.items()
        if name in message.fields_by_name
    }


def file_to_proto(file: ArtifactFile) -> artifact_pb2.ArtifactFile:
    """Returns one file."""
    return artifact_pb2.ArtifactFile(
        path=file.path,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        git_blob_id=file.git_blob_id,
        digest_origin=(
            _DIGEST_ORIGIN.to_proto(file.digest_origin)
            if file.digest_origin
            else artifact_pb2.DIGEST_ORIGIN_UNSPECIFIED
        ),
    )


def artifact_from_proto(artifact: artifact_pb2.Artifact) -> Artifact:
    """Returns what a lease says is to be pulled."""
    return Artifact(
        source=artifact.source,
        revision=artifact.revision,
        files=tuple(_file_from_proto(file) for file in artifact.files),
        entry_point=artifact.entry_point,
    )


def _file_from_proto(file: artifact_pb2.ArtifactFile) -> ArtifactFile:
    return ArtifactFile(
        path=file.path,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        git_blob_id=file.git_blob_id,
        digest_origin=_DIGEST_ORIGIN.from_proto(file.digest_origin) if file.digest_origin else None,
    )
