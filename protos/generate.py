"""Generates the Python code of every proto beside it. `make protos` and `make protos-check` run this.

The path of a proto is the path of its Python module, so what protoc writes is imported as it is.
``third_party`` is here for buf and protoc to read; its Python code comes from googleapis-common-protos.

Usage: ``python generate.py [--check]``. With ``--check`` nothing is written: it fails if what is there is
not what would be.
"""

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent
PACKAGES = ("moorage", "buf")
PATTERNS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi", "__init__.py", "py.typed", "*.binpb")
DESCRIPTORS = "moorage/descriptors.binpb"
"""The protos with their comments, for reflection: generated Python code has none."""
MARKER = '"""Generated from the protos beside it by `make protos`."""\n'


def main(arguments: list[str]) -> int:
    """Does what the arguments ask for and returns the exit code."""
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory)
        code = generate(output)
        if code != 0:
            return code
        wanted, present = contents(output), contents(PROTOS)
        if arguments == ["--check"]:
            return report(sorted(name for name in wanted | present if wanted.get(name) != present.get(name)))
        replace(wanted, present)
        return 0


def generate(output: Path) -> int:
    """Writes the code of every proto below a directory and returns protoc's exit code."""
    sources = sorted(path for package in PACKAGES for path in (PROTOS / package).rglob("*.proto"))
    (output / DESCRIPTORS).parent.mkdir()
    code = protoc.main(
        [
            "protoc",
            f"--proto_path={PROTOS}",
            f"--proto_path={PROTOS / 'third_party'}",
            f"--proto_path={Path(protoc.__file__).parent / '_proto'}",
            f"--python_out={output}",
            f"--grpc_python_out={output}",
            f"--mypy_out=quiet:{output}",
            f"--mypy_grpc_out=quiet,only_async:{output}",
            "--include_source_info",
            f"--descriptor_set_out={output / DESCRIPTORS}",
            *(str(path.relative_to(PROTOS)) for path in sources),
        ]
    )
    if code == 0:
        remove_empty_services(output, sources)
        write_packages(output)
    return int(code)


def remove_empty_services(output: Path, sources: list[Path]) -> None:
    """Deletes the service modules that protoc writes for protos that declare no service."""
    for source in sources:
        if not any(line.startswith("service ") for line in source.read_text().splitlines()):
            stem = output / source.relative_to(PROTOS).with_suffix("")
            for suffix in ("_pb2_grpc.py", "_pb2_grpc.pyi"):
                stem.with_name(stem.name + suffix).unlink()


def write_packages(output: Path) -> None:
    """Makes every directory of generated code a typed Python package."""
    for package in PACKAGES:
        root = output / package
        (root / "py.typed").touch()
        for directory in (root, *(path for path in root.rglob("*") if path.is_dir())):
            (directory / "__init__.py").write_text(MARKER)


def contents(root: Path) -> dict[str, bytes]:
    """Returns every generated file below a directory by its path."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for package in PACKAGES
        for pattern in PATTERNS
        for path in (root / package).rglob(pattern)
    }


def replace(wanted: dict[str, bytes], present: dict[str, bytes]) -> None:
    """Writes what changed, and deletes the code of protos that are gone."""
    for name, content in wanted.items():
        if present.get(name) != content:
            (PROTOS / name).write_bytes(content)
    for name in present.keys() - wanted.keys():
        (PROTOS / name).unlink()


def report(differing: list[str]) -> int:
    """Prints what is not as it should be and returns the exit code."""
    for name in differing:
        print(f"protos/{name} is not what its proto says")
    if differing:
        print("run `make protos`")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
