"""What users install."""

import re
import subprocess
import sys
import tomllib
import zipfile

import pytest


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory):
    directory = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)],
        cwd=root,
        check=True,
        capture_output=True,
    )
    (path,) = directory.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_has_every_package_typed_and_generated_code_included(wheel):
    names = set(wheel.namelist())
    for package in (
        "moorage",
        "moorage_common",
        "moorage_registry",
        "moorage_scheduler",
        "moorage_downloader",
        "moorage_agent",
        "moorage_cli",
    ):
        assert f"{package}/__init__.py" in names
        assert f"{package}/py.typed" in names
    assert "moorage/registry/v1/model_service_pb2.py" in names
    assert "moorage/registry/v1/model_service_pb2_grpc.pyi" in names
    assert "moorage/registry/v1/model_service.proto" in names
    assert "buf/validate/validate_pb2.py" in names


def test_the_wheel_brings_nothing_that_belongs_to_others_or_to_tests(wheel):
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.startswith("moorage")} == {"buf"}
    assert not [name for name in wheel.namelist() if "/test_" in name or name.endswith("conftest.py")]


def test_every_dependency_is_pinned_and_pytorch_is_not_among_them(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = {requirement_name(requirement) for group in groups for requirement in group} - {"moorage"}
    pinned = {
        requirement_name(line)
        for line in (root / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    assert wanted - pinned == set(), "run `make constraints`"
    assert not {"torch", "torchvision", "tensorflow"} & pinned


def requirement_name(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name.group()).lower()
