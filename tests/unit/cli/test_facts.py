from moorage.common.v1.model_facts_pb2 import GgufFacts, ModelFacts, SafetensorsFacts
from moorage.registry.v1.artifact_pb2 import Artifact, ArtifactFile
from moorage_cli.views.facts import describe_artifact, describe_pin


def test_an_artifact_in_a_line() -> None:
    artifact = Artifact(
        name="artifacts/a",
        files=[ArtifactFile(path="1.gguf"), ArtifactFile(path="2.gguf")],
        size_bytes=2048,
        facts=ModelFacts(gguf=GgufFacts(architecture="llama", block_count=4, quantization="Q4_K")),
    )
    assert describe_artifact(artifact) == "2 files, 2.00 KiB, llama with 4 layers, Q4_K"
    assert describe_artifact(Artifact(size_bytes=1)) == "0 files, 1 B"
    assert describe_pin(artifact) == "artifacts/a, 2.00 KiB"
    artifact.revision = "0123456789abcdef"
    assert describe_pin(artifact) == "artifacts/a, 2.00 KiB, revision 0123456789ab"


def test_a_model_in_safetensors_in_a_line() -> None:
    facts = SafetensorsFacts(model_type="qwen3", block_count=36, dtype="bfloat16")
    artifact = Artifact(size_bytes=1024, facts=ModelFacts(safetensors=facts))
    assert describe_artifact(artifact) == "0 files, 1.00 KiB, qwen3 with 36 layers, bfloat16"
    facts.quantization = "fp8"
    artifact = Artifact(size_bytes=1024, facts=ModelFacts(safetensors=facts))
    assert describe_artifact(artifact) == "0 files, 1.00 KiB, qwen3 with 36 layers, fp8"


def test_a_digest_is_cut_and_any_other_revision_is_told_whole() -> None:
    artifact = Artifact(name="artifacts/a", size_bytes=2048, revision="sha256:" + "0123456789abcdef" * 4)
    assert describe_pin(artifact) == "artifacts/a, 2.00 KiB, revision sha256:0123456789ab"
    artifact.revision = "7664321 bytes of 1764091120518000000"
    assert describe_pin(artifact) == "artifacts/a, 2.00 KiB, revision 7664321 bytes of 1764091120518000000"
