"""Which calls gRPC repeats by itself when a server cannot be reached."""

import json
from collections.abc import Iterable

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

READING_VERBS = ("Get", "List", "Stat", "Inspect", "Evaluate", "Explain", "Simulate", "Predict")
"""Verbs of methods that change nothing: to call them twice is to call them once. Only these are
repeated; whoever repeats another method has its ``request_id`` to make that safe."""

_POLICY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def service_config(services: Iterable[ServiceDescriptor]) -> str:
    """Returns gRPC's service config (JSON) that repeats the reading methods of these services."""
    names = [
        {"service": service.full_name, "method": method.name}
        for service in services
        for method in service.methods
        if is_repeatable(method)
    ]
    return json.dumps({"methodConfig": [{"name": names, "retryPolicy": _POLICY}] if names else []})


def is_repeatable(method: MethodDescriptor) -> bool:
    """Whether a call of the method may be repeated without asking."""
    streaming = method.client_streaming or method.server_streaming
    return method.name.startswith(READING_VERBS) and not streaming
