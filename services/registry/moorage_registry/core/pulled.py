"""What a pull may say of an artifact's files."""

from collections.abc import Sequence

from moorage_common.core.errors import FieldViolation, InvalidArgument
from moorage_registry.core.records import Artifact, Json


def check_pulled(artifact: Artifact, files: Sequence[Json]) -> None:
    """Checks that a pull brought an artifact's files, with their digests: what was resolved is immutable.

    Raises:
        InvalidArgument: A file is missing, is not the artifact's, has another size, or has no SHA-256.
    """
    sizes = {file["path"]: file.get("size_bytes", "0") for file in artifact.files}
    violations = []
    if len(files) != len(sizes) or {file["path"] for file in files} != sizes.keys():
        violations.append(FieldViolation("pulled.files", f"are not those of artifacts/{artifact.id}"))
    for file in files:
        path = file["path"]
        if sizes.get(path, file.get("size_bytes", "0")) != file.get("size_bytes", "0"):
            violations.append(FieldViolation("pulled.files", f"{path!r} is not {sizes[path]} bytes"))
        if not file.get("sha256"):
            violations.append(FieldViolation("pulled.files", f"{path!r} has no sha256"))
    if violations:
        first = violations[0]
        raise InvalidArgument(f"{first.field}: {first.description}", violations=violations)
