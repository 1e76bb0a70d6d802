"""How errors are told, and the exit codes.

- 0: done
- 1: refused or failed; what, why, and what to do is printed
- 2: wrong usage
- 3: deployed, but it does not run: no worker could ever hold it, or time is up
- 4: the mesh cannot be reached
- 130: interrupted
"""

import errno

from rich.console import Console
from rich.text import Text

from moorage_common.core.errors import (
    DeadlineExceeded,
    ErrorReason,
    Internal,
    MoorageError,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)

_MESH_AWAY = "Is the mesh up? Start it with 'moor up', or say where it is with --registry and the like."

_AWAY = (ErrorReason.SERVICE_UNAVAILABLE, ErrorReason.SERVER_DRAINING, ErrorReason.DEADLINE_EXCEEDED)

EXIT_FAILED = 1
EXIT_UNPLACED = 3
EXIT_UNREACHABLE = 4
EXIT_INTERRUPTED = 130


def exit_code(error: MoorageError) -> int:
    """Returns the exit code that an error ends the program with."""
    return EXIT_UNREACHABLE if _is_mesh_away(error) else EXIT_FAILED


def of_system(error: OSError) -> MoorageError:
    """Returns what the operating system refused, as an error with a reason."""
    said = f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return ResourceExhausted(said, reason=ErrorReason.DISK_FULL, remedy="Make room on the disk.")
        case errno.EACCES | errno.EPERM:
            return PermissionDenied(said, remedy="Was it made by another user? Give another --data-dir.")
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
    if _is_mesh_away(error):
        return _MESH_AWAY
    collection, _, name = error.resource.partition("/")
    match error.reason, collection:
        case ErrorReason.RESOURCE_NOT_FOUND, "models":
            return "'moor ps' shows what there is."
        case ErrorReason.RESOURCE_NOT_FOUND, "workers":
            return "'moor workers' shows which there are."
        case ErrorReason.RESOURCE_EXISTS, "models":
            return f"Give another one with --name, or remove that one with 'moor delete {name}'."
        case _:
            return ""


def _is_mesh_away(error: MoorageError) -> bool:
    # A source or an engine that does not answer is another matter.
    return isinstance(error, Unavailable | DeadlineExceeded) and error.reason in _AWAY


def print_defect(console: Console, error: Exception) -> None:
    """Prints that the program itself is wrong, without the traceback."""
    console.print(Text.assemble(("error: ", "bold red"), f"{type(error).__name__}: {error}"))
    console.print(Text.assemble(("reason: ", "dim"), "a defect of moor"))
    console.print(Text.assemble(("remedy: ", "dim"), "The same command with --debug shows where."))
