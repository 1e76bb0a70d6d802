"""Commands about models and their instances."""

from pathlib import Path
from typing import Annotated

import typer

from moorage_cli import commands, completing
from moorage_cli.declarations.shared import (
    MODELS,
    AnyModelArgument,
    ModelArgument,
    SourceArgument,
    SubjectArgument,
    TimeoutOption,
    WaitOption,
    examples,
)
from moorage_cli.options import OutputOption, connected, listed
from moorage_cli.query import Query
from moorage_cli.results import Output
from moorage_cli.target import MeshTarget
from moorage_common.core.placement import PlacementStrategy
from moorage_common.core.states import EngineKind

app = typer.Typer()


@app.command(
    rich_help_panel=MODELS,
    epilog=examples(
        "moor deploy hf:ORG/REPO/model-Q4_K_M.gguf --name llama",
        "moor deploy file:/srv/models/tiny.gguf --replicas 3 --no-wait",
        "moor deploy hf:ORG/REPO --gpu gpu-01/cuda:0 --gpu gpu-01/cuda:1 --dry-run",
    ),
)
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
    engine: Annotated[
        EngineKind | None,
        typer.Option(
            "--engine",
            case_sensitive=False,
            help="What serves it; the one that reads its files if not given.",
        ),
    ] = None,
    engine_version: Annotated[
        str, typer.Option("--engine-version", help="A version, or conditions on it: '>=0.30,<0.33'.")
    ] = "",
    workers: Annotated[
        list[str] | None,
        typer.Option(
            "--worker",
            metavar="WORKER",
            help="Only there; may be repeated.",
            autocompletion=completing.workers,
        ),
    ] = None,
    worker_labels: Annotated[
        list[str] | None,
        typer.Option("--worker-label", metavar="KEY=VALUE", help="Only on workers with it; may be repeated."),
    ] = None,
    gpus: Annotated[
        list[str] | None,
        typer.Option(
            "--gpu",
            metavar="WORKER/CARD",
            help="Only on these cards: gpu-01/cuda:0, or gpu-01/ and a UUID; may be repeated.",
        ),
    ] = None,
    gpus_per_replica: Annotated[
        int,
        typer.Option(
            "--gpus-per-replica", min=0, max=4096, help="How many of these each uses; 0: all of them."
        ),
    ] = 0,
    strategy: Annotated[
        PlacementStrategy | None,
        typer.Option("--strategy", case_sensitive=False, help="Which worker is better; else the mesh's own."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell where an instance would go, or why nowhere.")
    ] = False,
    wait: WaitOption = True,
    timeout_s: TimeoutOption = None,
    output: OutputOption = Output.TABLE,
) -> int:
    """Creates a model from a source, and follows it until it runs."""
    wishes = commands.deploy.Wishes(
        source=source,
        name=name,
        replicas=replicas,
        context_length=context_length,
        gpu_layers=gpu_layers,
        engine=engine,
        engine_version=engine_version,
        workers=workers or (),
        worker_labels=worker_labels or (),
        gpus=gpus or (),
        gpus_per_replica=gpus_per_replica,
        strategy=strategy,
    )
    if dry_run:
        return await commands.deploy.dry_run(target, wishes, output=output)
    return await commands.deploy.run(target, wishes, wait=wait, timeout_s=timeout_s, output=output)


@app.command(
    rich_help_panel=MODELS, epilog=examples("moor ps", "moor ps -o json | jq '.instances[].endpoint'")
)
@listed(labels=True)
async def ps(target: MeshTarget, query: Query, *, output: OutputOption = Output.TABLE) -> int:
    """Lists models with their instances. Filters are of the models."""
    return await commands.ps.run(target, query=query, output=output)


@app.command(
    rich_help_panel=MODELS,
    epilog=examples("moor models -l team=search", "moor models --filter 'desired_state = RUNNING' -o name"),
)
@listed(labels=True)
async def models(target: MeshTarget, query: Query, *, output: OutputOption = Output.TABLE) -> int:
    """Lists models: what is wanted, and how much of it runs."""
    return await commands.models.run(target, query=query, output=output)


@app.command(
    rich_help_panel=MODELS,
    epilog=examples("moor instances llama", "moor instances --filter 'state = ERROR' --order-by state_time"),
)
@listed()
async def instances(
    target: MeshTarget, query: Query, *, model: AnyModelArgument = "", output: OutputOption = Output.TABLE
) -> int:
    """Lists instances, the replicas of models."""
    return await commands.instances.run(target, model=model, query=query, output=output)


@app.command(
    rich_help_panel=MODELS,
    epilog=examples("moor endpoints llama", "moor endpoints llama -o json | jq -r '.endpoints[].url'"),
)
@listed()
async def endpoints(
    target: MeshTarget, query: Query, *, model: AnyModelArgument = "", output: OutputOption = Output.TABLE
) -> int:
    """Lists where models answer. Filters are of their instances."""
    return await commands.endpoints.run(target, model=model, query=query, output=output)


@app.command(rich_help_panel=MODELS, epilog=examples("moor start llama", "moor start llama --timeout 60"))
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


@app.command(rich_help_panel=MODELS, epilog=examples("moor stop llama"))
@connected
async def stop(
    target: MeshTarget, *, model: ModelArgument, wait: WaitOption = True, output: OutputOption = Output.TABLE
) -> int:
    """Stops a model, which stays with its files."""
    return await commands.stop.run(target, model=model, wait=wait, output=output)


@app.command(
    rich_help_panel=MODELS,
    epilog=examples("moor restart llama/a1b2c3d4", "moor restart llama --timeout 120"),
)
@connected
async def restart(
    target: MeshTarget,
    *,
    name: SubjectArgument,
    wait: WaitOption = True,
    timeout_s: TimeoutOption = None,
    output: OutputOption = Output.TABLE,
) -> int:
    """Starts the engine of an instance again, or all of a model."""
    return await commands.restart.run(target, name=name, wait=wait, timeout_s=timeout_s, output=output)


@app.command(rich_help_panel=MODELS, epilog=examples("moor scale llama 3", "moor scale llama 0"))
@connected
async def scale(
    target: MeshTarget,
    *,
    model: ModelArgument,
    replicas: Annotated[
        int, typer.Argument(metavar="REPLICAS", min=0, max=10_000, help="How many instances.")
    ],
    wait: WaitOption = True,
    timeout_s: TimeoutOption = None,
    output: OutputOption = Output.TABLE,
) -> int:
    """Changes how many instances of a model are wanted."""
    return await commands.scale.run(
        target, model=model, replicas=replicas, wait=wait, timeout_s=timeout_s, output=output
    )


@app.command(
    rich_help_panel=MODELS, epilog=examples("moor explain llama", "moor explain llama/a1b2c3d4 -o yaml")
)
@connected
async def explain(target: MeshTarget, *, name: SubjectArgument, output: OutputOption = Output.TABLE) -> int:
    """Tells why an instance is where it is, or what it waits for."""
    return await commands.explain.run(target, name=name, output=output)


@app.command(
    rich_help_panel=MODELS,
    epilog=examples(
        "moor simulate fleet.yaml model.yaml",
        "moor simulate --live-plus two-more.yaml --model llama",
        "moor simulate fleet.yaml models.yaml -o json --seed 7",
    ),
)
@connected
async def simulate(
    target: MeshTarget,
    *,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE",
            help="YAML with workers, instances, models, or one model; - is standard input.",
            show_default=False,
        ),
    ] = None,
    live_plus: Annotated[
        bool, typer.Option("--live-plus", help="On the fleet as it is, plus what the files say.")
    ] = False,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="Also one more instance of this model of the mesh.",
            autocompletion=completing.models,
            show_default=False,
        ),
    ] = None,
    closest: Annotated[
        int,
        typer.Option(
            "--closest", metavar="N", min=1, max=10_000, help="How many workers to explain for each replica."
        ),
    ] = 5,
    seed: Annotated[
        str, typer.Option("--seed", help="Decides between equals, in place of the files' seed.")
    ] = "",
    output: OutputOption = Output.TABLE,
) -> int:
    """Tells where models would go on a fleet on paper.

    Nothing is claimed. docs/capacity-planning.md tells what files may say.
    Exit codes: 0 if everything is placed, 3 if something is not.
    """
    return await commands.simulate.run(
        target,
        files=files or [],
        live=live_plus,
        models=models or [],
        closest=closest,
        seed=seed,
        output=output,
    )


@app.command(rich_help_panel=MODELS, epilog=examples("moor predict llama", "moor predict llama/a1b2c3d4"))
@connected
async def predict(target: MeshTarget, *, name: SubjectArgument, output: OutputOption = Output.TABLE) -> int:
    """Tells how fast instances should be, and where the time goes.

    For a model without any instance: where one would go now.
    """
    return await commands.predict.run(target, name=name, output=output)


@app.command(
    rich_help_panel=MODELS, epilog=examples("moor logs llama --follow", "moor logs llama/a1b2c3d4 --tail 50")
)
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


@app.command(
    rich_help_panel=MODELS,
    epilog=examples('moor chat llama "Who are you?"', "moor chat llama < question.txt"),
)
@connected
async def chat(
    target: MeshTarget,
    *,
    name: SubjectArgument,
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="Without it: a conversation.", show_default=False)
    ] = "",
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Longest answer.")] = 512,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0, help="0: always the likeliest.")
    ] = 0.7,
) -> int:
    """Asks a running model, and prints its answer as it comes."""
    return await commands.chat.run(
        target, name=name, prompt=prompt, max_tokens=max_tokens, temperature=temperature
    )
