"""Names that an agent makes up where nobody gave one, and addresses as others see them."""

import re
from urllib.parse import urlsplit

_WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 (recognised, not bound)
_LONGEST = 63


def worker_id(given: str, *, hostname: str) -> str:
    """Returns the id of the node's worker: the one given, or the host's name made one."""
    if given:
        return given
    cleaned = re.sub(r"[^a-z0-9]+", "-", hostname.lower())[:_LONGEST].strip("-")
    return cleaned or "worker"


def public_host(given: str, *, bound: str, hostname: str) -> str:
    """Returns the host under which others reach what is bound to an address.

    Args:
        given: What the settings say; empty: nothing.
        bound: The address that is listened on.
        hostname: The host's own name, for what listens on every address.
    """
    if given:
        return given
    return hostname if bound in _WILDCARDS else bound


def endpoint(url: str, *, host: str) -> str:
    """Returns an engine's OpenAI-compatible base URL, as others reach it.

    Args:
        url: The engine's own base URL.
        host: The host under which others reach it.
    """
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{urlsplit(url).port}/v1"
