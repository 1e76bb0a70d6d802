"""`moor explain`: why instances are where they are, or nowhere."""

from google.protobuf.json_format import MessageToDict
from rich.console import Console

from moorage.common.v1.placement_pb2 import Explanation, Placement, Verdict
from moorage.scheduler.v1.scheduler_service_pb2 import EvaluatePlacementRequest, ExplainInstanceRequest
from moorage_cli import connect
from moorage_cli.console import make_console, print_json, print_rows
from moorage_cli.listing import all_instances
from moorage_cli.names import instance_of, model_of
from moorage_cli.options import MeshTarget, Output
from moorage_cli.views.explanation import claim_rows, count_line, headline, worker_rows


async def run(target: MeshTarget, *, name: str, output: Output) -> int:
    """Explains an instance, or every instance of a model; for a model without any, where one would go."""
    instances = await _instances(target, name)
    explained: list[dict[str, object]] = []
    console = make_console()
    async with connect.scheduler(target) as scheduler:
        for instance in instances:
            answer = await scheduler.scheduler.ExplainInstance(ExplainInstanceRequest(name=instance))
            explained.append(
                {"instance": instance, **MessageToDict(answer, preserving_proto_field_name=True)}
            )
            if output is Output.TABLE:
                _print(console, instance, answer.placement, answer.explanation)
        if not instances:
            model = model_of(name)
            dry = await scheduler.scheduler.EvaluatePlacement(EvaluatePlacementRequest(model_name=model))
            explained.append({"model": model, **MessageToDict(dry, preserving_proto_field_name=True)})
            if output is Output.TABLE:
                _print(console, f"one more instance of {model}", dry.placement, dry.explanation)
    if output is Output.JSON:
        print_json({"explanations": explained})
    return 0


async def _instances(target: MeshTarget, name: str) -> list[str]:
    instance = instance_of(name)
    if instance is not None:
        return [instance]
    async with connect.registry(target) as registry:
        found = await all_instances(registry, model_of(name))
    return [each.name for each in found if not each.retiring]


def _print(console: Console, subject: str, placement: Placement, explanation: Explanation) -> None:
    console.print(subject, style="bold")
    console.print(f"  {headline(explanation)}")
    # An instance that is STOPPED, say, has no verdict: nobody looked for a place.
    if explanation.verdict != Verdict.VERDICT_UNSPECIFIED:
        console.print(f"  {count_line(explanation)}", style="dim")
    if placement.claims:
        console.print()
        print_rows(console, claim_rows(placement))
    if explanation.workers:
        console.print()
        print_rows(console, worker_rows(explanation))
    console.print()
