"""What llama.cpp's log says about a failure.

A failed load ends in one generic exception; the reason stands some lines above, and the lines after
it only repeat that something failed. Lines look like::

    0.00.003.737 E llama_model_load: error loading model: unknown model architecture: 'lxama'
"""

import re

_ERROR = re.compile(r"^\s*[\d.]+ E (?P<text>.+)$")
_PREFIX = re.compile(r"^[\w ~:()]+?: +")
_ABORTED = re.compile(
    r"(GGML_ASSERT|GGML_ABORT|terminate called|what\(\):|CUDA error|out of memory)", re.IGNORECASE
)
_PYTHON = re.compile(r"^(\w+Error|\w+Exception): (?P<text>.+)$")
_PLAIN = re.compile(r"^(error|fatal)\b:? *(?P<text>.+)$", re.IGNORECASE)

_REPEATS = (
    "failed to load model",
    "failed to create context with model",
    "failed to create_context with model",
    "exiting due to",
    "Failed to init server",
    "cleaning up before exit",
    "encountered an error while trying to fit params",
)
"""What llama.cpp says after the reason was said."""

_LONGEST = 300


def explain(log: str) -> str:
    """Returns the reason of a failure, in one line, from the end of a log; empty if none stands there."""
    lines = [line.rstrip() for line in log.splitlines() if line.strip()]
    said = [text for text in map(_complaint, lines) if text]
    telling = [text for text in said if not any(repeat in text for repeat in _REPEATS)]
    reason = (telling or said or [""])[-1]
    return reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}…"


def _complaint(line: str) -> str:
    match = _ERROR.match(line)
    if match is not None:
        return _PREFIX.sub("", match["text"]).strip()
    if _ABORTED.search(line):
        return line.strip()
    match = _PYTHON.match(line) or _PLAIN.match(line)
    return match["text"].strip() if match is not None else ""
