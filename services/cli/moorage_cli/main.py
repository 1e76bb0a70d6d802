"""The command line `moor`. Commands are declared here, and done in `moorage_cli.commands`."""

import os
from typing import Annotated

import typer

from moorage_cli import commands
from moorage_cli.launcher.home import DEFAULT_HOME
from moorage_cli.launcher.ports import FIRST_PORT
from moorage_cli.options import (
    DataDirOption,
    DebugOption,
    MeshTarget,
    Output,
    OutputOption,
    connected,
    execute,
)

app = typer.Typer(
    name="moor",
    help="Serves large language models on a fleet of workers, or on this machine alone.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="A model: its id or name.")]
SubjectArgument = Annotated[
    str, typer.Argument(metavar="MODEL|INSTANCE", help="A model, or one instance: tiny, tiny/a1b2c3d4.")
]
SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="hf:ORG/REPO/FILE, hf:ORG/REPO@REVISION/FILE, https://… or file:/PATH (on the downloader).",
    ),
]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is so.")]
TimeoutOption = Annotated[
    float | None, typer.Option("--timeout", metavar="SECONDS", min=0, help="Wait no longer than this.")
]
FirstPortOption = Annotated[
    int,
    typer.Option(
        "--first-port",
        envvar="MOORAGE_FIRST_PORT",
        min=1024,
        max=65000,
        help="Look for free ports from here on.",
    ),
]


@app.command()
def up(
    *,
    data_dir: DataDirOption = DEFAULT_HOME,
    first_port: FirstPortOption = FIRST_PORT,
    debug: DebugOption = False,
) -> None:
    """Runs a whole mesh on this machine until Ctrl-C: PostgreSQL, registry, scheduler, downloader, agent."""
    execute(
        lambda: commands.up.run(data_dir=data_dir, first_port=first_port, environment=os.environ), debug=debug
    )


@app.command()
def quickstart(
    *,
    data_dir: DataDirOption = DEFAULT_HOME,
    first_port: FirstPortOption = FIRST_PORT,
    once: Annotated[bool, typer.Option("--once", help="Shut down after the answer.")] = False,
    model: Annotated[
        str, typer.Option("--model", metavar="SOURCE", help="Deploy this source in place of the tiny model.")
    ] = "",
    debug: DebugOption = False,
) -> None:
    """Runs a mesh, deploys a model on it and asks it something: the whole way, to look at."""
    execute(
        lambda: commands.quickstart.run(
            data_dir=data_dir, first_port=first_port, environment=os.environ, source=model, once=once
        ),
        debug=debug,
    )


@app.command()
@connected
async def deploy(
    target: MeshTarget,
    *,
    source: SourceArgument,
    name: Annotated[
        str, typer.Option("--name", help="Id of the model; made of the source if not given.")
    ] = "",
    replicas: Annotated[int, typer.Option("--replicas", min=0, max=10_000, help="How many instances.")] = 1,
    context_length: Annotated[
        int,
        typer.Option(
            "--context-length", min=0, max=1 << 24, help="Tokens; 0: the model's own, at most 4096."
        ),
    ] = 0,
    gpu_layers: Annotated[
        int | None,
        typer.Option("--gpu-layers", min=0, max=100_000, help="Layers on GPUs; as many as fit if not given."),
    ] = None,
    wait: WaitOption = True,
    timeout_s: TimeoutOption = None,
    output: OutputOption = Output.TABLE,
) -> int:
    """Creates a model from a source, and follows it until it runs or something is in its way."""
    wishes = commands.deploy.Wishes(
        source=source, name=name, replicas=replicas, context_length=context_length, gpu_layers=gpu_layers
    )
    return await commands.deploy.run(target, wishes, wait=wait, timeout_s=timeout_s, output=output)


@app.command()
@connected
async def ps(target: MeshTarget, *, output: OutputOption = Output.TABLE) -> int:
    """Lists models and their instances."""
    return await commands.ps.run(target, output=output)


@app.command()
@connected
async def workers(target: MeshTarget, *, output: OutputOption = Output.TABLE) -> int:
    """Lists workers, and what they have."""
    return await commands.workers.run(target, output=output)


@app.command()
@connected
async def start(
    target: MeshTarget,
    *,
    model: ModelArgument,
    wait: WaitOption = True,
    timeout_s: TimeoutOption = None,
    output: OutputOption = Output.TABLE,
) -> int:
    """Starts a model, and follows it until it runs."""
    return await commands.start.run(target, model=model, wait=wait, timeout_s=timeout_s, output=output)


@app.command()
@connected
async def stop(target: MeshTarget, *, model: ModelArgument, wait: WaitOption = True) -> int:
    """Stops a model. It stays, with its files, and can be started again."""
    return await commands.stop.run(target, model=model, wait=wait)


@app.command()
@connected
async def delete(target: MeshTarget, *, model: ModelArgument, wait: WaitOption = True) -> int:
    """Stops a model and removes it. Its files stay on the workers."""
    return await commands.delete.run(target, model=model, wait=wait)


@app.command()
@connected
async def pull(
    target: MeshTarget,
    *,
    source: SourceArgument,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            "--worker",
            metavar="WORKER[,…]",
            help="Onto these workers. All that are ready if not given.",
        ),
    ] = None,
    wait: WaitOption = True,
    output: OutputOption = Output.TABLE,
) -> int:
    """Brings a source onto workers ahead of any deployment."""
    return await commands.pull.run(target, source=source, workers=to or [], wait=wait, output=output)


@app.command()
@connected
async def logs(
    target: MeshTarget,
    *,
    name: SubjectArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more is printed.")] = False,
    tail: Annotated[
        int, typer.Option("--tail", min=0, max=100_000, help="Start with the last lines; 0: all.")
    ] = 0,
) -> int:
    """Prints what an instance's engine prints."""
    return await commands.logs.run(target, name=name, follow=follow, tail=tail)


@app.command()
@connected
async def explain(target: MeshTarget, *, name: SubjectArgument, output: OutputOption = Output.TABLE) -> int:
    """Tells why an instance is where it is, or what it waits for."""
    return await commands.explain.run(target, name=name, output=output)


@app.command()
@connected
async def chat(
    target: MeshTarget,
    *,
    name: SubjectArgument,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="Without it: a conversation.")] = "",
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Longest answer.")] = 512,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0, help="0: always the likeliest.")
    ] = 0.7,
) -> int:
    """Asks a running model, and prints its answer as it comes."""
    return await commands.chat.run(
        target, name=name, prompt=prompt, max_tokens=max_tokens, temperature=temperature
    )


def main() -> None:
    """Runs `moor`."""
    app()
