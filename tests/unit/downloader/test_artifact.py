"""Identity of artifacts."""

from dataclasses import replace

from moorage_common.core.names import artifact_name
from moorage_downloader.core.artifact import Artifact, ArtifactFile, DigestOrigin

FILE = ArtifactFile(path="m.gguf", size_bytes=10, sha256="a" * 64, digest_origin=DigestOrigin.SOURCE)
ARTIFACT = Artifact(source="hf:o/r@c/m.gguf", revision="c", files=(FILE,), entry_point="m.gguf")


def test_the_id_depends_on_source_revision_and_files():
    others = [
        replace(ARTIFACT, source="hf:o/r@d/m.gguf"),
        replace(ARTIFACT, revision="d"),
        replace(ARTIFACT, files=(replace(FILE, path="n.gguf"),)),
        replace(ARTIFACT, files=(replace(FILE, size_bytes=11),)),
        replace(ARTIFACT, files=(replace(FILE, sha256="b" * 64),)),
        replace(ARTIFACT, files=(FILE, replace(FILE, path="n.gguf"))),
        replace(ARTIFACT, source=ARTIFACT.source + "c\n1", revision=""),
    ]
    ids = {artifact.id for artifact in [ARTIFACT, *others]}
    assert len(ids) == len(others) + 1
    assert all(artifact_name(id_) for id_ in ids)
    assert replace(ARTIFACT).id == ARTIFACT.id


def test_learning_a_digest_does_not_change_the_id():
    unknown = replace(ARTIFACT, files=(replace(FILE, sha256="", digest_origin=None),))
    learnt = replace(ARTIFACT, files=(replace(FILE, digest_origin=DigestOrigin.FIRST_SIGHT),))
    assert unknown.id == learnt.id != ARTIFACT.id


def test_sizes_and_files():
    artifact = replace(ARTIFACT, files=(FILE, replace(FILE, path="n", size_bytes=5)))
    assert artifact.size_bytes == 15
    assert artifact.file("n").size_bytes == 5
    assert artifact.file("x") is None
