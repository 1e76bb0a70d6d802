"""What a terminal, or a pipe, can show."""

import codecs
import io
import sys

_SUBSTITUTES = {"→": "->", "…": "...", "·": "-", "█": "#", "▒": "+", "▚": "=", "░": "."}
_HANDLER = "moorage.substitute"


def tolerate_any_encoding() -> None:
    """Lets everything be printed where not every character can be: what cannot gets a substitute."""
    codecs.register_error(_HANDLER, substitute)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def substitute(error: UnicodeError) -> tuple[str, int]:
    """Handles characters that an encoding does not have, as `codecs.register_error` wants it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_SUBSTITUTES.get(character, "?") for character in missing), error.end


def has_unicode() -> bool:
    """Whether every character can be printed to stdout."""
    return (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
