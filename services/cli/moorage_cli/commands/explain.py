"""`moor explain`: why instances are where they are, or nowhere."""

from moorage.scheduler.v1.scheduler_service_pb2 import (
    EvaluatePlacementRequest,
    EvaluatePlacementResponse,
    ExplainInstanceRequest,
    ExplainInstanceResponse,
)
from moorage_cli import connect
from moorage_cli.console import show
from moorage_cli.listing import all_instances
from moorage_cli.names import instance_of, model_of
from moorage_cli.results import Output, Result
from moorage_cli.target import MeshTarget
from moorage_cli.views.explanation import explanation_page
from moorage_cli.views.page import Page

Answer = ExplainInstanceResponse | EvaluatePlacementResponse


async def run(target: MeshTarget, *, name: str, output: Output) -> int:
    """Explains an instance, or every instance of a model; for a model without any, where one would go."""
    instances = await _instances(target, name)
    answers: list[tuple[str, Answer]] = []
    async with connect.scheduler(target) as scheduler:
        for instance in instances:
            request = ExplainInstanceRequest(name=instance)
            answers.append((instance, await scheduler.scheduler.ExplainInstance(request)))
        if not instances:
            model = model_of(name)
            dry = EvaluatePlacementRequest(model_name=model)
            answers.append((model, await scheduler.scheduler.EvaluatePlacement(dry)))
    result = Result(
        data={"explanations": [_as_data(*answer, of_model=not instances) for answer in answers]},
        names=[subject for subject, _ in answers],
        page=[block for answer in answers for block in _page(*answer, of_model=not instances)],
    )
    show(output, result)
    return 0


def _as_data(subject: str, answer: Answer, *, of_model: bool) -> dict[str, object]:
    found: dict[str, object] = {"model" if of_model else "instance": subject}
    if answer.HasField("placement"):
        found["placement"] = answer.placement
    return {**found, "explanation": answer.explanation}


def _page(subject: str, answer: Answer, *, of_model: bool) -> Page:
    heading = f"one more instance of {subject}" if of_model else subject
    return explanation_page(heading, answer.placement, answer.explanation)


async def _instances(target: MeshTarget, name: str) -> list[str]:
    instance = instance_of(name)
    if instance is not None:
        return [instance]
    async with connect.registry(target) as registry:
        found = await all_instances(registry, model_of(name))
    return [each.name for each in found if not each.retiring]
