"""Which files an artifact has, remembered across restarts: what makes its blobs servable without the registry."""

from dataclasses import dataclass

from moorage_downloader.core.artifact import Artifact, ArtifactFile
from moorage_downloader.store.contract import Wanted
from moorage_downloader.store.layout import Layout, read_json, write_json


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is wanted of each file of an artifact."""

    wanted: dict[str, Wanted]
    """By the file's path."""
    complete: bool
    """Whether all of it has been in the cache once."""


def wanted_of(artifact: Artifact, file: ArtifactFile) -> Wanted:
    """What a file of an artifact must turn out to be."""
    origin = "\n".join((artifact.source, artifact.revision, file.path))
    return Wanted(size_bytes=file.size_bytes, sha256=file.sha256, git_blob_id=file.git_blob_id, origin=origin)


def save_manifest(layout: Layout, artifact_id: str, artifact: Artifact, *, complete: bool) -> None:
    """Remembers an artifact. Blocks: call it in a thread."""
    files = [
        {
            "path": file.path,
            "size_bytes": wanted.size_bytes,
            "sha256": wanted.sha256,
            "git_blob_id": wanted.git_blob_id,
            "origin": wanted.origin,
        }
        for file in artifact.files
        for wanted in [wanted_of(artifact, file)]
    ]
    write_json(layout.artifact(artifact_id), {"files": files, "complete": complete})


def load_manifest(layout: Layout, artifact_id: str) -> Manifest | None:
    """Returns what is remembered of an artifact; None when that is nothing. Blocks: call it in a thread."""
    content = read_json(layout.artifact(artifact_id))
    if content is None:
        return None
    wanted = {
        file["path"]: Wanted(
            size_bytes=file["size_bytes"],
            sha256=file["sha256"],
            git_blob_id=file["git_blob_id"],
            origin=file["origin"],
        )
        for file in content["files"]
    }
    return Manifest(wanted, bool(content["complete"]))
