"""The exit codes. Nothing is imported here: `moor --help` shows them."""

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNFINISHED = 3
EXIT_UNREACHABLE = 4
EXIT_INTERRUPTED = 130

MEANINGS = {
    EXIT_DONE: "done",
    EXIT_FAILED: "refused or failed; what, why, and what to do about it is printed",
    EXIT_USAGE: "wrong usage, or a file that is wrong",
    EXIT_UNFINISHED: "not so, or not yet: no worker can hold it, or --timeout passed",
    EXIT_UNREACHABLE: "the mesh cannot be reached",
    EXIT_INTERRUPTED: "interrupted; what was begun in the mesh goes on",
}
"""By exit code, what it says. The README has the same words."""
