"""Runs a command that must not outlive the launcher: ``python -I -S leash.py … -- argv``.

It sets the parent-death signal and drops privileges, then becomes the command by exec, so the process
id is the command's own. Doing this between fork and exec of the launcher itself would not be safe: the
launcher has threads (gRPC). Elsewhere than on Linux there is no parent-death signal; what a killed
launcher leaves there is found by its process records at the next start.

It imports only the standard library, and little of it: it runs before every process.
"""

import argparse
import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def leashed(
    argv: Sequence[str], *, death_signal: int, uid: int | None = None, gid: int | None = None
) -> list[str]:
    """Returns the command line that runs `argv` on a leash held by this process.

    The leash is held by the calling *thread*: call it, and start the process, from the main thread.

    Args:
        argv: The command, with an absolute path to the program.
        death_signal: Sent to the command when this process dies.
        uid: User to become first; needs root.
        gid: Group to become first; needs root.
    """
    identity = [] if uid is None or gid is None else ["--uid", str(uid), "--gid", str(gid)]
    own = ["--parent", str(os.getpid()), "--signal", str(int(death_signal)), *identity]
    return [sys.executable, "-I", "-S", str(Path(__file__)), *own, "--", *argv]


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--signal", type=int, required=True)
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("argv", nargs="+")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Becomes the command, or exits with a message when it cannot."""
    options = _parse(arguments)
    try:
        if options.uid is not None:
            os.setgroups([])
            os.setgid(options.gid)
            os.setuid(options.uid)
        # After setuid: changing credentials clears the signal.
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, options.signal)
        if os.getppid() != options.parent:
            sys.exit("the launcher is gone")
        os.execv(options.argv[0], options.argv)  # noqa: S606 - an argument list, no shell
    except OSError as error:
        sys.exit(f"cannot run {options.argv[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
