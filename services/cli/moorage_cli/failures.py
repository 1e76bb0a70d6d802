"""How errors are told, and the exit codes that they end with."""

import errno

from rich.console import Console
from rich.text import Text

from moorage_cli.exits import EXIT_FAILED, EXIT_UNREACHABLE, EXIT_USAGE
from moorage_cli.simulation.mistakes import FileInvalid
from moorage_common.core.errors import (
    DeadlineExceeded,
    ErrorReason,
    Internal,
    MoorageError,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)

MESH_AWAY = "Is the mesh up? 'moor up' starts one on this machine."
"""What to do about a mesh that cannot be reached."""

_AWAY = (ErrorReason.SERVICE_UNAVAILABLE, ErrorReason.SERVER_DRAINING, ErrorReason.DEADLINE_EXCEEDED)


_REMEDIES = {
    (ErrorReason.RESOURCE_NOT_FOUND, "models"): "'moor ps' shows what there is.",
    (ErrorReason.RESOURCE_NOT_FOUND, "workers"): "'moor workers' shows which there are.",
    (ErrorReason.RESOURCE_EXISTS, "models"): (
        "Give another one with --name, or remove that one with 'moor delete {name}'."
    ),
    (ErrorReason.WORKER_IN_USE, "workers"): (
        "Empty it first: moor drain {name}. Or say --force, if the node is gone for good."
    ),
    (ErrorReason.METHOD_UNKNOWN, ""): "The service is older than this moor: bring both to one version.",
}
"""By reason, and the collection of the resource or any: what `moor` itself can do about it."""


def exit_code(error: MoorageError) -> int:
    """Returns the exit code that an error ends the program with."""
    if isinstance(error, FileInvalid):
        return EXIT_USAGE
    return EXIT_UNREACHABLE if is_mesh_away(error) else EXIT_FAILED


def of_system(error: OSError) -> MoorageError:
    """Returns what the operating system refused, as an error with a reason."""
    said = f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return ResourceExhausted(said, reason=ErrorReason.DISK_FULL, remedy="Make room on the disk.")
        case errno.EACCES | errno.EPERM:
            return PermissionDenied(said, remedy="Was it made by another user?")
        case _:
            return Internal(said)


def print_error(console: Console, error: MoorageError) -> None:
    """Prints what failed, why, and what to do about it."""
    console.print(Text.assemble(("error: ", "bold red"), error.message))
    for violation in error.violations:
        if violation.description not in error.message:
            console.print(Text(f"  {violation.field}: {violation.description}"))
    for shortage in error.shortages:
        console.print(Text(f"  {shortage.subject}: {shortage.description}"))
    console.print(Text.assemble(("reason: ", "dim"), str(error.reason)))
    remedy = error.remedy or _usual_remedy(error)
    if remedy:
        console.print(Text.assemble(("remedy: ", "dim"), remedy))


def _usual_remedy(error: MoorageError) -> str:
    """What `moor` itself can do about an error that came without a remedy."""
    if is_mesh_away(error):
        return MESH_AWAY
    collection, _, name = error.resource.partition("/")
    remedy = _REMEDIES.get((error.reason, collection)) or _REMEDIES.get((error.reason, ""), "")
    return remedy.format(name=name)


def is_mesh_away(error: MoorageError) -> bool:
    """Whether an error says that a part of the mesh cannot be reached."""
    # A source or an engine that does not answer is another matter.
    return isinstance(error, Unavailable | DeadlineExceeded) and error.reason in _AWAY


def print_defect(console: Console, error: Exception) -> None:
    """Prints that the program itself is wrong, without the traceback."""
    console.print(Text.assemble(("error: ", "bold red"), f"{type(error).__name__}: {error}"))
    console.print(Text.assemble(("reason: ", "dim"), "a defect of moor"))
    console.print(Text.assemble(("remedy: ", "dim"), "The same command with --debug shows where."))
