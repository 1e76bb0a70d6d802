"""The environment that engines get: built, not inherited.

An agent's own environment may hold secrets, and settings of llama.cpp or CUDA that were meant for
something else. Engines get what programs need to run at all, and what was decided for them.
"""

from collections.abc import Mapping

from moorage_agent.core.spec import EngineSpec

PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "CUDA_HOME",
    "VIRTUAL_ENV",
)
"""Variables of the agent that its engines get too, where they are set."""

MARK = "MOORAGE_ENGINE_DIRECTORY"
"""Marks an engine's process with its directory: an agent that was killed between starting an engine
and writing that down finds it by this."""


def program_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Returns what every program of an engine gets, also one that only says what it is and can.

    Args:
        base: The agent's own environment.
    """
    return {
        **{name: base[name] for name in PASSED_ON if name in base},
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        # Without it an abort of ggml may start a debugger, which then waits for somebody.
        "GGML_NO_BACKTRACE": "1",
    }


def engine_environment(
    base: Mapping[str, str], spec: EngineSpec, *, directory: str, more: Mapping[str, str]
) -> dict[str, str]:
    """Returns an engine's environment.

    Args:
        base: The agent's own environment.
        spec: What the engine is to serve.
        directory: The engine's own directory.
        more: What the engine asks for.
    """
    return {
        **program_environment(base),
        # By UUID, in the order of the layers. Empty: an engine placed on the CPU sees no GPU.
        "CUDA_VISIBLE_DEVICES": ",".join(gpu.uuid for gpu in spec.gpus),
        **more,
        MARK: directory,
    }
