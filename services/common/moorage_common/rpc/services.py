"""Which services and methods a server has: noted while they are added to it."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar, cast

import grpc

# In quotes: gRPC's classes are generic only in their stubs.
Handlers: TypeAlias = "Mapping[str, grpc.RpcMethodHandler[Any, Any]]"

ServicerT = TypeVar("ServicerT")


class ServiceRecorder:
    """Adds services to a server and notes their names, which the generated code does not give."""

    def __init__(self, server: grpc.aio.Server) -> None:
        """Takes the server to add to."""
        self._server = server
        self._services: dict[str, None] = {}

    @property
    def services(self) -> tuple[str, ...]:
        """The full names of the services, in the order in which they were added."""
        return tuple(self._services)

    def add(self, adder: Callable[[ServicerT, grpc.aio.Server], None], servicer: ServicerT) -> None:
        """Calls a generated ``add_…Servicer_to_server``."""
        # The generated code calls just the two methods below.
        adder(servicer, cast("grpc.aio.Server", self))

    def add_handlers(self, service: str, handlers: Handlers) -> None:
        """Adds single methods; they win over what the service had under their names."""
        self.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, dict(handlers))])
        self.add_registered_method_handlers(service, handlers)

    def add_generic_rpc_handlers(self, handlers: list[grpc.GenericRpcHandler]) -> None:
        """Called by generated code. gRPC finds methods by the other call below; this one is its fallback."""
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Handlers) -> None:
        """Called by generated code."""
        self._services[service] = None
        self._server.add_registered_method_handlers(service, handlers)
