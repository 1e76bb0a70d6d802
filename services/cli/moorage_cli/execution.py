"""The edge of the program: a command becomes an exit code, and its errors become words."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from moorage_cli.console import make_console
from moorage_cli.exits import EXIT_FAILED, EXIT_INTERRUPTED
from moorage_cli.failures import exit_code, of_system, print_defect, print_error
from moorage_common.core.errors import MoorageError
from moorage_common.runtime.logs import configure_logs


def run_command(command: Callable[[], Coroutine[Any, Any, int]], *, debug: bool) -> int:
    """Runs a command to its end, and returns its exit code.

    Args:
        command: Makes the coroutine to run.
        debug: Raise errors as they are, and log everything.
    """
    configure_logs(level="debug" if debug else "error", style="console", stream=sys.stderr)
    try:
        return asyncio.run(command())
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read has enough; Python would complain again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except Exception as error:
        if debug:
            raise
        return _tell(error)


def _tell(error: Exception) -> int:
    console = make_console(stderr=True)
    if isinstance(error, OSError):
        error = of_system(error)
    if isinstance(error, MoorageError):
        print_error(console, error)
        return exit_code(error)
    print_defect(console, error)
    return EXIT_FAILED
