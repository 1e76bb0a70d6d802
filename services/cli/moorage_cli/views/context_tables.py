"""Contexts, and where services are, as tables."""

from collections.abc import Mapping

from moorage_cli.contexts import SERVICES, Contexts
from moorage_cli.target import Located
from moorage_cli.views.page import Rows


def context_rows(contexts: Contexts) -> Rows:
    """Returns one row per context."""
    return Rows(
        ("CONTEXT", "CURRENT", "REGISTRY", "SCHEDULER", "DOWNLOADER", "PLAINTEXT"),
        tuple(
            (
                name,
                "yes" if name == contexts.current else "",
                *(context.addresses.get(service, "") for service in SERVICES),
                "anywhere" if context.insecure else "this machine only",
            )
            for name, context in contexts.by_name.items()
        ),
    )


def located_rows(located: Mapping[str, Located], problems: Mapping[str, str]) -> Rows:
    """Returns one row per service: its address and who says so, or why there is none."""
    rows = [
        (service, located[service].address, located[service].origin)
        if service in located
        else (service, "", problems[service])
        for service in SERVICES
    ]
    return Rows(("SERVICE", "ADDRESS", "FROM"), tuple(rows))
