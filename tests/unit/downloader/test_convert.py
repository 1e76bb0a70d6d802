"""Artifacts and facts as protos."""

from dataclasses import fields, replace

import pytest

from moorage.common.v1 import model_facts_pb2
from moorage.registry.v1 import artifact_pb2
from moorage_common.core.placement import ModelCategory
from moorage_common.modelfiles.gguf_facts import GgufFacts
from moorage_common.modelfiles.safetensors_facts import SafetensorsFacts
from moorage_common.rpc.enums import MODEL_CATEGORY
from moorage_downloader.convert import artifact_from_proto, resolution_to_proto
from moorage_downloader.core.artifact import Artifact, ArtifactFile, DigestOrigin
from moorage_downloader.resolver import Resolution

ARTIFACT = Artifact(
    source="hf:o/r@c/m.gguf",
    revision="c",
    files=(
        ArtifactFile(path="m.gguf", size_bytes=5, sha256="a" * 64, digest_origin=DigestOrigin.SOURCE),
        ArtifactFile(path="n.gguf", size_bytes=6, git_blob_id="b" * 40),
    ),
    entry_point="m.gguf",
)


@pytest.fixture
def facts():
    """Facts in which no two numbers are the same."""
    values = {}
    for number, field in enumerate(fields(GgufFacts), start=1):
        match str(field.type):
            case "<class 'str'>":
                values[field.name] = f"text {number}"
            case "<class 'bool'>":
                values[field.name] = True
            case "tuple[bool, ...]":
                values[field.name] = (True, False)
            case "tuple[int, ...]":
                values[field.name] = (number, number + 1000)
            case "<enum 'ModelCategory'>":
                values[field.name] = ModelCategory.EMBEDDING
            case _:
                values[field.name] = number
    return GgufFacts(**values)


def test_every_fact_of_the_proto_is_carried_over(facts):
    gguf = resolution_to_proto(Resolution(ARTIFACT, facts)).facts.gguf
    carried = {field.name: value for field, value in gguf.ListFields()}
    assert set(carried) == set(model_facts_pb2.GgufFacts.DESCRIPTOR.fields_by_name)
    for name, value in carried.items():
        expected = MODEL_CATEGORY.to_proto(facts.category) if name == "category" else getattr(facts, name)
        assert (tuple(value) if isinstance(expected, tuple) else value) == expected


def test_every_fact_of_a_model_in_safetensors_is_carried_over():
    values = {field.name: number for number, field in enumerate(fields(SafetensorsFacts), start=1)}
    texts = ("architecture", "model_type", "dtype", "quantization")
    values |= {name: f"text {values[name]}" for name in texts}
    values |= {"tensor_bytes_by_dtype": {"BF16": 7}, "category": ModelCategory.RERANKER}
    proto = resolution_to_proto(Resolution(ARTIFACT, SafetensorsFacts(**values))).facts
    carried = {field.name: value for field, value in proto.safetensors.ListFields()}
    assert set(carried) == set(model_facts_pb2.SafetensorsFacts.DESCRIPTOR.fields_by_name)
    assert MODEL_CATEGORY.from_proto(carried.pop("category")) is values.pop("category")
    assert dict(carried.pop("tensor_bytes_by_dtype")) == values.pop("tensor_bytes_by_dtype")
    assert carried == values


def test_artifacts_come_back_as_they_went(facts):
    proto = resolution_to_proto(Resolution(ARTIFACT, facts))
    assert proto.name == f"artifacts/{ARTIFACT.id}"
    assert proto.size_bytes == 11
    assert [file.digest_origin for file in proto.files] == [
        artifact_pb2.DIGEST_ORIGIN_SOURCE,
        artifact_pb2.DIGEST_ORIGIN_UNSPECIFIED,
    ]
    assert artifact_from_proto(proto) == ARTIFACT
    learnt = replace(ARTIFACT.files[1], sha256="d" * 64, digest_origin=DigestOrigin.GIT_BLOB)
    again = replace(ARTIFACT, files=(ARTIFACT.files[0], learnt))
    assert artifact_from_proto(resolution_to_proto(Resolution(again, facts))) == again
