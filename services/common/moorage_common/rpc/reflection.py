"""gRPC reflection that serves the protos' comments: whoever describes a method reads what it does.

Generated Python code knows the protos without their comments. `make protos` therefore also writes a descriptor set that
has them; what reflection answers of the mesh's own files is taken from there.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from functools import cache
from importlib.resources import files

import grpc
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from moorage_common.rpc.interceptors.calls import Context

SERVICE_NAME: str = reflection.SERVICE_NAME
"""Full name of the reflection service."""


@cache
def documented_files() -> Mapping[str, bytes]:
    """The mesh's own files with their comments: a serialised FileDescriptorProto by path."""
    stored = files("moorage").joinpath("descriptors.binpb").read_bytes()
    documented = descriptor_pb2.FileDescriptorSet.FromString(stored)
    return {file.name: file.SerializeToString() for file in documented.file}


class ReflectionServicer(reflection_pb2_grpc.ServerReflectionServicer):
    """Reflection of the services named."""

    def __init__(self, services: Iterable[str]) -> None:
        """Takes the full names of the services that a server has."""
        self._plain = reflection.aio.ReflectionServicer(service_names=services)

    async def ServerReflectionInfo(  # noqa: N802 - the proto's name
        self, requests: AsyncIterator[reflection_pb2.ServerReflectionRequest], context: Context
    ) -> AsyncIterator[reflection_pb2.ServerReflectionResponse]:
        """Answers like plain reflection, with comments."""
        # Typed as a coroutine; it is an async generator.
        answers: AsyncIterator[reflection_pb2.ServerReflectionResponse]
        answers = self._plain.ServerReflectionInfo(requests, context)  # type: ignore[assignment]
        async for response in answers:
            if response.HasField("file_descriptor_response"):
                found = response.file_descriptor_response.file_descriptor_proto
                found[:] = [_documented(serialized) for serialized in found]
            yield response


def add_reflection(services: Iterable[str], server: grpc.aio.Server) -> None:
    """Lets a server reflect the services named, and reflection itself."""
    servicer = ReflectionServicer([*services, SERVICE_NAME])
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]


def _documented(serialized: bytes) -> bytes:
    name = descriptor_pb2.FileDescriptorProto.FromString(serialized).name
    return documented_files().get(name, serialized)
