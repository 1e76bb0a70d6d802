"""llama.cpp from the ``xllamacpp`` wheel: the engine that needs nothing but pip."""

import contextlib
import importlib.metadata
import json
import sys

import aiohttp

from moorage_agent.engines import xllamacpp_server
from moorage_agent.engines.contract import Command, InstalledEngine, Launch
from moorage_agent.engines.llama_cpp import ADDRESS_FILE, LlamaCppEngine, accelerators
from moorage_agent.engines.tools import output_of

_SPEC_FILE = "server.json"


class XllamacppEngine(LlamaCppEngine):
    """Runs `xllamacpp_server` with the agent's own Python."""

    def __init__(self, http: aiohttp.ClientSession, *, default_threads: int) -> None:
        super().__init__(http)
        self._default_threads = default_threads

    async def installed(self) -> InstalledEngine | None:
        """Returns the wheel's version; None if it is not installed."""
        try:
            version = importlib.metadata.version("xllamacpp")
        except importlib.metadata.PackageNotFoundError:
            return None
        devices: list[str] = []
        with contextlib.suppress(ValueError):
            devices = json.loads(await output_of([*_SERVER, "--devices"]))
        return InstalledEngine(kind=self.kind, version=version, accelerators=accelerators(devices))

    def command(self, launch: Launch) -> Command:
        """Writes the server's spec, and returns the command that reads it."""
        (launch.directory / ADDRESS_FILE).unlink(missing_ok=True)
        spec = launch.spec
        server = xllamacpp_server.ServerSpec(
            model_path=str(launch.model_path),
            address_file=str(launch.directory / ADDRESS_FILE),
            host=launch.host,
            alias=spec.alias,
            context_length=spec.context_length,
            parallel_slots=spec.parallel_slots,
            gpu_layers=spec.gpu_layers,
            tensor_split=tuple(float(gpu.layers) for gpu in spec.gpus) if len(spec.gpus) > 1 else (),
            kv_cache_type=spec.kv_cache_type.value,
            flash_attention=spec.flash_attention.value,
            threads=spec.threads or self._default_threads,
            # A request holds its thread until it is answered; health must still get one.
            http_threads=16 + 4 * spec.parallel_slots,
        )
        path = launch.directory / _SPEC_FILE
        path.write_text(json.dumps(server.to_json()), encoding="utf-8")
        return Command(arguments=(*_SERVER, "--spec", str(path)))


# -P: what lies in the directory that it starts in is no module of ours.
_SERVER = (sys.executable, "-P", "-m", "moorage_agent.engines.xllamacpp_server")
