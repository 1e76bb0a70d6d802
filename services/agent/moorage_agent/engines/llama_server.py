"""llama.cpp as a ``llama-server`` that somebody built or installed, named in the agent's settings."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from moorage_agent.core.environment import program_environment
from moorage_agent.core.spec import EngineSpec, FlashAttention
from moorage_agent.engines.contract import Command, EngineUnusable, InstalledEngine, Launch
from moorage_agent.engines.llama_cpp import (
    ADDRESS_FILE,
    LlamaCppEngine,
    accelerators,
    logical_batch,
    projector_beside,
)
from moorage_agent.engines.tools import free_port, printed_by
from moorage_common.core.llama_cpp import CONTEXT_CHECKPOINTS

_VERSION = re.compile(r"^version: *(\S+)", re.MULTILINE)
_DEVICE = re.compile(r"^ +(\w+?): ", re.MULTILINE)


class LlamaServerEngine(LlamaCppEngine):
    """Runs a ``llama-server`` binary."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        *,
        binary: Path,
        environment: Mapping[str, str],
        default_threads: int,
    ) -> None:
        super().__init__(http)
        self._binary = binary
        self._environment = environment
        self._default_threads = default_threads
        self._known_flags = ""

    async def installed(self) -> InstalledEngine:
        """Asks the binary what it is."""
        version = _VERSION.search(await self._say("--version"))
        if version is None:
            raise EngineUnusable(f"{self._binary}: it does not say its version: no llama-server?")
        self._known_flags = await self._say("--help")
        devices = _DEVICE.findall(await self._say("--list-devices"))
        return InstalledEngine(
            kind=self.kind, version=version[1], accelerators=accelerators(devices), single_worker_only=True
        )

    async def _say(self, flag: str) -> str:
        """Which of the streams llama.cpp prints an answer on has changed over the years."""
        environment = program_environment(self._environment)
        return "\n".join(await printed_by([str(self._binary), flag], environment=environment))

    def command(self, launch: Launch) -> Command:
        """Picks a port, and returns the command line."""
        port = free_port(launch.host)
        address = {"url": f"http://{_bracketed(launch.host)}:{port}"}
        (launch.directory / ADDRESS_FILE).write_text(json.dumps(address), encoding="utf-8")
        spec = launch.spec
        arguments = [
            *(str(self._binary), "--model", str(launch.model_path), "--alias", spec.alias),
            *("--host", launch.host, "--port", str(port)),
            *("--ctx-size", str(spec.context_length), "--parallel", str(spec.parallel_slots)),
            *("--threads", str(spec.threads or self._default_threads)),
            *("--gpu-layers", str(spec.gpu_layers), "--metrics"),
            *("--batch-size", str(logical_batch(spec.micro_batch_size))),
            *("--ubatch-size", str(spec.micro_batch_size)),
            *_optional(spec),
            *self._newer(spec),
        ]
        projector = projector_beside(launch.model_path)
        if projector is not None:
            arguments += ["--mmproj", str(projector)]
        return Command(arguments=tuple(arguments))

    def _newer(self, spec: EngineSpec) -> list[str]:
        """Flags that came, or changed, later than the rest."""
        arguments = []
        # Prompts kept in RAM would be memory that no claim accounts for; older builds keep none.
        if self._knows("--cache-ram"):
            arguments += ["--cache-ram", "0"]
        if self._knows("--ctx-checkpoints"):
            arguments += ["--ctx-checkpoints", str(CONTEXT_CHECKPOINTS)]
        unified = "--kv-unified" if spec.unified_kv_cache else "--no-kv-unified"
        if self._knows(unified):
            arguments.append(unified)
        if spec.forbid_mmap:
            arguments += ["--load-mode", "none"] if self._knows("--load-mode") else ["--no-mmap"]
        return arguments

    def _knows(self, flag: str) -> bool:
        return re.search(rf"(?<!\S){flag}(?![\w-])", self._known_flags) is not None


def _optional(spec: EngineSpec) -> list[str]:
    cache_type = spec.kv_cache_type.lower()
    arguments = ["--cache-type-k", cache_type, "--cache-type-v", cache_type]
    if spec.flash_attention is not FlashAttention.AUTO:
        arguments += ["--flash-attn", spec.flash_attention]
    if len(spec.gpus) > 1:
        arguments += ["--tensor-split", ",".join(str(gpu.layers) for gpu in spec.gpus)]
    return arguments


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
