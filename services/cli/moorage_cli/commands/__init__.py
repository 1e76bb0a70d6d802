"""What the commands do. Each module is imported when its command runs, so that `moor --help` is quick."""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moorage_cli.commands import (
        artifacts,
        audit,
        chat,
        context,
        cordon,
        delete,
        deploy,
        drain,
        endpoints,
        explain,
        instances,
        logs,
        models,
        predict,
        ps,
        pull,
        quickstart,
        restart,
        scale,
        simulate,
        start,
        stop,
        top,
        up,
        watch,
        workers,
    )

__all__ = [
    "artifacts",
    "audit",
    "chat",
    "context",
    "cordon",
    "delete",
    "deploy",
    "drain",
    "endpoints",
    "explain",
    "instances",
    "logs",
    "models",
    "predict",
    "ps",
    "pull",
    "quickstart",
    "restart",
    "scale",
    "simulate",
    "start",
    "stop",
    "top",
    "up",
    "watch",
    "workers",
]


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(name)
    return importlib.import_module(f"{__name__}.{name}")
