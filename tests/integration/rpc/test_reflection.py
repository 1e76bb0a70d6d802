"""Reflection alone teaches the API: what a stranger describes comes with its comments."""

import grpc
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

MODELS = "moorage.registry.v1.ModelService"


async def described(address, symbol):
    """The files that reflection answers for a symbol, by name."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
        [response] = [response async for response in stub.ServerReflectionInfo(iter([request]))]
    found = response.file_descriptor_response.file_descriptor_proto
    files = map(descriptor_pb2.FileDescriptorProto.FromString, found)
    return {file.name: file for file in files}


def comments(file):
    """The comment before each element of a file, by the element's path."""
    return {
        tuple(location.path): location.leading_comments.strip()
        for location in file.source_code_info.location
        if location.leading_comments
    }


async def test_every_method_message_and_field_is_described_with_its_comment(mesh):
    server = await mesh.serve()
    files = await described(server.address, MODELS)
    ours = [file for name, file in files.items() if name.startswith("moorage/")]
    assert len(ours) >= 3
    for file in ours:
        said = comments(file)
        for index, message in enumerate(file.message_type):
            assert (4, index) in said, message.name
            fields = [name for at, name in enumerate(message.field) if (4, index, 2, at) not in said]
            assert fields == [], message.name
        for index, service in enumerate(file.service):
            assert all((6, index, 2, at) in said for at in range(len(service.method))), service.name


async def test_the_comments_are_those_of_the_protos(mesh):
    server = await mesh.serve()
    files = await described(server.address, MODELS)
    said = comments(files["moorage/registry/v1/model_service.proto"])
    assert said[6, 0].startswith("Models: what users want served.")
