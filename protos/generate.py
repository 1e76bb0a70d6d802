"""Generates the Python code of every proto beside it; `make protos` runs this.

The path of a proto is the path of its Python module, so what protoc writes is imported as it is.
``third_party`` is here for buf and protoc to read; its Python code comes from googleapis-common-protos.

Usage: ``python generate.py [OUTPUT_DIRECTORY]``, by default the directory of this file.
"""

import sys
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent
PACKAGES = ("moorage", "buf")
MARKER = '"""Generated from the protos beside it by `make protos`."""\n'


def main(output: Path) -> int:
    """Generates everything into the directory and returns the exit code."""
    sources = sorted(path for package in PACKAGES for path in (PROTOS / package).rglob("*.proto"))
    relative = [str(path.relative_to(PROTOS)) for path in sources]
    if not relative:
        print("no .proto found below", PROTOS)
        return 1
    remove_generated(output)
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
            *relative,
        ]
    )
    if code == 0:
        remove_empty_services(output, sources)
        write_packages(output)
    return int(code)


def remove_generated(output: Path) -> None:
    """Deletes what an earlier run wrote: the code of a proto that is gone must go too."""
    for package in PACKAGES:
        for pattern in ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi"):
            for path in (output / package).rglob(pattern):
                path.unlink()


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
        (output / package / "py.typed").touch()
        directories = {parent for path in (output / package).rglob("*_pb2.py") for parent in path.parents}
        for directory in directories:
            if directory.is_relative_to(output / package):
                (directory / "__init__.py").write_text(MARKER)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else PROTOS))
