"""Writes what capacity-planning.md shows: ``python docs/render_capacity_planning.py``.

That is what its commands print, by a scheduler that belongs to no mesh, and which keys files have. Commands with
``--live-plus`` or ``--model`` need a mesh; what they print is not shown.
"""  # noqa: INP001 - a script

import asyncio
import io
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorSet, SourceCodeInfo

from moorage.scheduler.v1.scheduler_service_pb2_grpc import (
    SchedulerServiceServicer,
    add_SchedulerServiceServicer_to_server,
)
from moorage.scheduler.v1.simulation_pb2 import SimulatePlacementRequest
from moorage_cli.simulation.fields import is_text
from moorage_cli.simulation.forms import form_of
from moorage_cli.simulation.scalars import enum_words
from moorage_common.core.clock import SystemClock
from moorage_common.core.errors import NotFound
from moorage_common.rpc.channels import ChannelConfig
from moorage_common.rpc.clients import DownloaderClient
from moorage_common.rpc.server import RpcServer, ServerConfig
from moorage_common.runtime.logs import configure_logs
from moorage_common.runtime.telemetry import Telemetry
from moorage_scheduler.core.policy import ScoringPolicy
from moorage_scheduler.mirror import Mirror
from moorage_scheduler.prediction.accelerators import lookup
from moorage_scheduler.predictor import Predictor
from moorage_scheduler.simulation import Simulations

PAGE = Path(__file__).with_name("capacity-planning.md")
EXAMPLES = Path(__file__).with_name("examples")
START = "<!-- From here on made by docs/render_capacity_planning.py. -->\n"
_NEEDS_MESH = ("--live-plus", "--model")
_SHOWN = re.compile(r"(?ms)^```sh\n(?P<command>moor [^\n]*)\n```\n\n```text\n.*?^```\n")
_TITLES = {
    "SimulatePlacementRequest": "A file",
    "SimulatedWorker": "A worker",
    "SimulatedAccelerator": "A card",
    "InstalledEngine": "An engine of a worker",
    "SimulatedCopy": "An artifact on a worker",
    "SimulatedInstance": "An instance that is there already",
    "MemoryClaim": "What an instance holds",
    "SimulatedModel": "A model",
    "ModelSizes": "Sizes of a model",
    "LlamaCppOptions": "Options of llama.cpp",
    "VllmOptions": "Options of vLLM",
    "PlacementPolicy": "Where a model may go",
    "GpuSelector": "A card that is chosen",
    "SimulatedPolicy": "What is preferred",
}
"""What the messages are called on the page; others are not shown."""


def render(page: str) -> str:
    """Returns the page with what its commands print, and its tables, as they should be."""
    written, _, _ = page.partition(START)
    return asyncio.run(_with_outputs(written)) + START + "".join(_tables())


async def _with_outputs(page: str) -> str:
    async with _scheduler() as address:
        parts, end = [], 0
        for shown in _SHOWN.finditer(page):
            output = await _run(shown["command"], address)
            parts += [page[end : shown.start()], f"```sh\n{shown['command']}\n```\n\n```text\n{output}```\n"]
            end = shown.end()
    return "".join([*parts, page[end:]])


@asynccontextmanager
async def _scheduler() -> Any:  # noqa: ANN401
    """A scheduler on paper: nobody answers for it what sources or artifacts of a registry are."""

    class OnPaper(SchedulerServiceServicer):
        async def SimulatePlacement(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802, ARG002
            return await simulations.simulate(request)

    async def artifact(name: str) -> Any:  # noqa: ANN401
        raise NotFound(f"there is no {name}")

    configure_logs(stream=io.StringIO())
    telemetry = Telemetry(service="docs")
    async with (
        DownloaderClient.connect(ChannelConfig(target="127.0.0.1:9"), telemetry=telemetry) as downloader,
        RpcServer(ServerConfig(drain_grace_s=0.1), telemetry=telemetry) as server,
    ):
        simulations = Simulations(
            policy=ScoringPolicy(),
            table=lookup,
            artifact=artifact,
            downloader=downloader,
            # Nobody has measured anything.
            predict=Predictor(Mirror(), SystemClock()).predict,
        )
        server.add(add_SchedulerServiceServicer_to_server, OnPaper())
        await server.start()
        await server.set_serving()
        yield server.address


async def _run(command: str, address: str) -> str:
    """Returns what a command prints, and the exit code if it is not 0."""
    words = shlex.split(command)
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name(words[0]),
        *words[1:],
        cwd=EXAMPLES,
        env={**os.environ, "MOORAGE_SCHEDULER": address, "NO_COLOR": "1", "PYTHONUTF8": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    lines = [line.rstrip() for line in output.decode().splitlines()]
    lines += [f"(exit code {process.returncode})"] if process.returncode else []
    return "".join(f"{line}\n" for line in lines)


def commands(page: str) -> list[str]:
    """Returns the commands of a page that need a mesh, and whose output is therefore not shown."""
    found = re.findall(r"(?m)^moor .*$", page)
    return [command for command in found if any(word in command for word in _NEEDS_MESH)]


def _tables() -> Iterator[str]:
    waiting, seen = [SimulatePlacementRequest.DESCRIPTOR], set()
    comments = _comments()
    while waiting:
        message = waiting.pop(0)
        if message.full_name in seen or message.name not in _TITLES:
            continue
        seen.add(message.full_name)
        form = form_of(message)
        yield f"\n### {_TITLES[message.name]}\n\n| key | value | meaning |\n|---|---|---|\n"
        for key, name in form.fields_by_key(message).items():
            field = message.fields_by_name[name]
            told = _in_words_of_files(comments[message.full_name, name], message)
            yield f"| `{key}` | {_value(field)} | {told} |\n"
            if field.message_type is not None:
                waiting.append(field.message_type)
        if form.numbered is not None:
            yield "| `count` | number | How many such there are. |\n"


def _value(field: FieldDescriptor) -> str:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return "mapping"
    one = _one(field)
    return f"list: {one}" if field.is_repeated else one


def _one(field: FieldDescriptor) -> str:
    if field.message_type is not None:
        title = _TITLES.get(field.message_type.name, "As the API has it")
        return title[0].lower() + title[1:]
    if field.enum_type is not None:
        return ", ".join(f"`{word}`" for word in enum_words(field.enum_type))
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return "`true`, `false`"
    if is_text(field):
        return "text"
    if field.name.endswith("bytes_per_s"):
        return "rate"
    return "size" if "bytes" in field.name.split("_") else "number"


def _in_words_of_files(comment: str, message: Descriptor) -> str:
    form = form_of(message)
    for field in message.fields:
        comment = (
            re.sub(rf"\b{field.name}\b", f"`{form.key_of(field.name)}`", comment)
            if "_" in field.name
            else comment
        )
    return comment.replace("|", r"\|").replace("Absent:", "Left out:").replace("Unspecified:", "Left out:")


def _comments() -> dict[tuple[str, str], str]:
    """Returns what the protos say of every field, by message and name."""
    stored = files("moorage").joinpath("descriptors.binpb").read_bytes()
    found: dict[tuple[str, str], str] = {}
    for file in FileDescriptorSet.FromString(stored).file:
        if file.package.startswith("moorage."):
            for index, message in enumerate(file.message_type):
                found |= dict(
                    _fields(f"{file.package}.{message.name}", message, (4, index), file.source_code_info)
                )
    return found


def _fields(
    name: str, message: DescriptorProto, path: tuple[int, ...], info: SourceCodeInfo
) -> Iterator[tuple[tuple[str, str], str]]:
    told = {tuple(location.path): location.leading_comments for location in info.location}
    for index, field in enumerate(message.field):
        yield (name, field.name), " ".join(told.get((*path, 2, index), "").split())


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text()))
