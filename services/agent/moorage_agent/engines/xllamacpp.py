"""llama.cpp from the ``xllamacpp`` wheel: the engine that needs nothing but pip."""

import importlib.metadata
import json
import sys
from collections.abc import Mapping

import aiohttp

from moorage_agent.core.environment import program_environment
from moorage_agent.engines import xllamacpp_server
from moorage_agent.engines.contract import Command, EngineUnusable, InstalledEngine, Launch
from moorage_agent.engines.llama_cpp import (
    ADDRESS_FILE,
    LlamaCppEngine,
    accelerators,
    logical_batch,
    projector_beside,
)
from moorage_agent.engines.tools import printed_by

_SPEC_FILE = "server.json"


class XllamacppEngine(LlamaCppEngine):
    """Runs `xllamacpp_server` with the agent's own Python."""

    def __init__(
        self, http: aiohttp.ClientSession, *, environment: Mapping[str, str], default_threads: int
    ) -> None:
        super().__init__(http)
        self._environment = environment
        self._default_threads = default_threads

    async def installed(self) -> InstalledEngine:
        """Returns the wheel's version, once its library has been loaded in a process as engines are."""
        try:
            version = importlib.metadata.version("xllamacpp")
        except importlib.metadata.PackageNotFoundError:
            raise EngineUnusable("the package xllamacpp is not installed") from None
        printed = await printed_by(
            [*_SERVER, "--devices"], environment=program_environment(self._environment)
        )
        devices = json.loads(printed.stdout)
        return InstalledEngine(
            kind=self.kind, version=version, accelerators=accelerators(devices), single_worker_only=True
        )

    def command(self, launch: Launch) -> Command:
        """Writes the server's spec, and returns the command that reads it."""
        (launch.directory / ADDRESS_FILE).unlink(missing_ok=True)
        spec, projector = launch.spec, projector_beside(launch.model_path)
        server = xllamacpp_server.ServerSpec(
            model_path=str(launch.model_path),
            projector_path=str(projector) if projector else "",
            address_file=str(launch.directory / ADDRESS_FILE),
            host=launch.host,
            alias=spec.alias,
            context_length=spec.context_length,
            parallel_slots=spec.parallel_slots,
            gpu_layers=spec.gpu_layers,
            tensor_split=tuple(float(gpu.layers) for gpu in spec.gpus) if len(spec.gpus) > 1 else (),
            kv_cache_type=spec.kv_cache_type.value,
            flash_attention=spec.flash_attention.value,
            batch_size=logical_batch(spec.micro_batch_size),
            micro_batch_size=spec.micro_batch_size,
            unified_kv_cache=spec.unified_kv_cache,
            forbid_mmap=spec.forbid_mmap,
            threads=spec.threads or self._default_threads,
            # A request holds its thread until it is answered; health must still get one.
            http_threads=16 + 4 * spec.parallel_slots,
        )
        path = launch.directory / _SPEC_FILE
        path.write_text(json.dumps(server.to_json()), encoding="utf-8")
        return Command(arguments=(*_SERVER, "--spec", str(path)))


# -P: what lies in the directory that it starts in is no module of ours.
_SERVER = (sys.executable, "-P", "-m", "moorage_agent.engines.xllamacpp_server")
