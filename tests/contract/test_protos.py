"""The protos as a contract: linted, compatible with the last release, and what the code was made of."""

import ast
from importlib import import_module

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from moorage.common.v1.error_reason_pb2 import ErrorReason as ProtoErrorReason
from moorage_common.core.errors import ErrorReason
from moorage_common.rpc.enums import value_names


def test_the_protos_are_linted(buf):
    linted = buf("lint")
    assert linted.returncode == 0, linted.stdout.decode() + linted.stderr.decode()


def test_the_protos_are_compatible_with_the_baseline(buf):
    compared = buf("breaking", "--path", "moorage", "--against", "baseline.binpb")
    assert compared.returncode == 0, compared.stdout.decode() + compared.stderr.decode()


def test_the_check_of_compatibility_would_find_a_break(buf, root, tmp_path):
    baseline = FileDescriptorSet.FromString((root / "protos/baseline.binpb").read_bytes())
    for file in baseline.file:
        if file.name == "moorage/common/v1/error_reason.proto":
            file.enum_type[0].value.add(name="ERROR_REASON_REMOVED_SINCE", number=4242)
    changed = tmp_path / "baseline.binpb"
    changed.write_bytes(baseline.SerializeToString())
    compared = buf("breaking", "--path", "moorage", "--against", str(changed))
    assert compared.returncode != 0
    assert b"4242" in compared.stdout


@pytest.fixture(scope="session")
def built(buf):
    """Every proto as buf compiles it now."""
    image = buf("build", "--path", "moorage", "--exclude-source-info", "-o", "-")
    assert image.returncode == 0, image.stderr.decode()
    return FileDescriptorSet.FromString(image.stdout)


def test_the_generated_code_is_that_of_the_protos(built):
    files = {file.name: file for file in built.file if file.name.startswith("moorage/")}
    assert files
    for name, file in files.items():
        module = import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
        generated = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(generated)
        assert names_and_types(generated) == names_and_types(file), f"{name}: run `make protos`"


def names_and_types(file: FileDescriptorProto) -> FileDescriptorProto:
    """What two compilers must agree on: names, numbers and types; not how each of them packs options."""
    kept = FileDescriptorProto()
    kept.CopyFrom(file)
    kept.ClearField("source_code_info")
    kept.ClearField("syntax")
    # buf adds a field of its own to the files of an image.
    kept.DiscardUnknownFields()
    messages = list(kept.message_type)
    while messages:
        message = messages.pop()
        messages += message.nested_type
        if not message.options.map_entry:
            message.ClearField("options")
        for item in [*message.field, *message.oneof_decl]:
            item.ClearField("options")
            if hasattr(item, "json_name"):
                item.ClearField("json_name")
    return kept


def test_every_proto_has_its_code_and_all_code_has_its_proto(root):
    protos = root / "protos"
    sources = {
        path.with_suffix("") for package in ("moorage", "buf") for path in (protos / package).rglob("*.proto")
    }
    for package in ("moorage", "buf"):
        for path in (protos / package).rglob("*_pb2*.py*"):
            if "__pycache__" not in path.parts:
                assert path.with_name(path.name.partition("_pb2")[0]) in sources, f"{path}: run `make protos`"
    for source in sources:
        assert source.with_name(source.name + "_pb2.py").exists(), f"{source}: run `make protos`"


def test_the_reasons_of_errors_have_the_same_names_in_the_protos():
    assert set(value_names(ProtoErrorReason.DESCRIPTOR)) == {reason.value for reason in ErrorReason}


def test_every_reason_is_used_somewhere(root):
    """A reason that nothing gives is a promise that nobody keeps."""
    used = set()
    for path in (root / "services").rglob("*.py"):
        if path.name == "enums.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "ErrorReason"
            ):
                used.add(node.attr)
    assert {reason.name for reason in ErrorReason} - used == set()
