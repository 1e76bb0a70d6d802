"""Writes reasons.md from the comments of the protos: ``python docs/render_reasons.py``."""  # noqa: INP001 - a script

from importlib.resources import files
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

PAGE = Path(__file__).with_name("reasons.md")
INTRODUCTION = """# Reasons, and what to do about them

Every error carries a `google.rpc.ErrorInfo` with the domain `moorage` and one of the reasons below, for machines; its
message, its violations and its remedy say the rest for the case at hand. Every worker that a placement leaves out is
told of with one of the placement reasons. This page is made of the comments in the protos, by
`python docs/render_reasons.py`; `grpcurl describe moorage.common.v1.ErrorReason` shows the same.
"""
TABLES = (
    ("Errors", "moorage/common/v1/error_reason.proto", "ErrorReason", "ERROR_REASON_"),
    ("Placements", "moorage/common/v1/placement.proto", "PlacementReason", "PLACEMENT_REASON_"),
)
_ENUM_VALUE = 2
"""Number of the field ``value`` of an enum's descriptor."""
_ENUM_TYPE = 5
"""Number of the field ``enum_type`` of a file's descriptor."""


def render() -> str:
    """Returns the page."""
    stored = files("moorage").joinpath("descriptors.binpb").read_bytes()
    by_name = {file.name: file for file in FileDescriptorSet.FromString(stored).file}
    parts = [INTRODUCTION]
    for title, path, enum, prefix in TABLES:
        rows = [f"## {title}\n", "| reason | what it means | what to do |", "|---|---|---|"]
        said = reasons(by_name[path], enum, prefix)
        rows += [f"| `{name}` | {meaning} | {remedy} |" for name, meaning, remedy in said]
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def reasons(file: FileDescriptorProto, enum: str, prefix: str) -> list[tuple[str, str, str]]:
    """Returns name, meaning and remedy of each value of an enum."""
    index = [each.name for each in file.enum_type].index(enum)
    comments = {
        location.path[3]: location.leading_comments
        for location in file.source_code_info.location
        if len(location.path) == 4 and tuple(location.path[:3]) == (_ENUM_TYPE, index, _ENUM_VALUE)
    }
    return [
        (value.name.removeprefix(prefix), *_halves(comments[position]))
        for position, value in enumerate(file.enum_type[index].value)
        if value.number
    ]


def _halves(comment: str) -> tuple[str, str]:
    meaning, _, remedy = " ".join(comment.split()).partition(" Remedy: ")
    return meaning, remedy[:1].upper() + remedy[1:]


if __name__ == "__main__":
    PAGE.write_text(render())
