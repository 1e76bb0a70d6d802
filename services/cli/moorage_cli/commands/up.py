"""`moor up`: a whole mesh on this machine."""

from collections.abc import Mapping
from pathlib import Path

from moorage_cli.console import make_console
from moorage_cli.launcher.home import DEFAULT_HOME
from moorage_cli.launcher.mesh import Mesh, MeshOptions
from moorage_cli.launcher.session import run_mesh, until_signal


async def run(*, data_dir: Path, first_port: int, environment: Mapping[str, str]) -> int:
    """Runs a mesh until a signal stops it."""
    console = make_console()
    console.print(f"Moorage, in {data_dir}\n", markup=False)

    async def body(mesh: Mesh) -> int:
        where = "" if data_dir == DEFAULT_HOME else f" --data-dir {data_dir}"
        console.print(f"\nUp; logs are in {mesh.log_dir}. Ctrl-C stops it.", markup=False)
        console.print(f"Next: moor deploy hf:ORG/REPO/FILE.gguf{where}\n", markup=False)
        return await until_signal()

    options = MeshOptions(home=data_dir, environment=environment, first_port=first_port)
    return await run_mesh(options, console, body)
