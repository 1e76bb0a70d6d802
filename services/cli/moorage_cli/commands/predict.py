"""`moor predict`: how fast instances should be where they are, or would be where they would go."""

from moorage.scheduler.v1.scheduler_service_pb2 import (
    EvaluatePlacementRequest,
    Prediction,
    PredictPerformanceRequest,
)
from moorage_cli import connect
from moorage_cli.console import show
from moorage_cli.listing import all_instances
from moorage_cli.names import instance_of, model_of
from moorage_cli.results import Output, Result
from moorage_cli.target import MeshTarget
from moorage_cli.views.prediction import prediction_page


async def run(target: MeshTarget, *, name: str, output: Output) -> int:
    """Predicts an instance, or those of a model that have a place; for a model without any, where one would go."""
    instances = await _placed(target, name)
    found: list[tuple[str, Prediction]] = []
    async with connect.scheduler(target) as scheduler:
        for subject, request in _requests(name, instances).items():
            response = await scheduler.scheduler.PredictPerformance(request)
            found += [(subject, prediction) for prediction in response.predictions]
    kind = "instance" if instances else "model"
    result = Result(
        data={"predictions": [{kind: subject, "prediction": prediction} for subject, prediction in found]},
        names=[subject for subject, _ in found],
        page=[
            block
            for subject, prediction in found
            for block in prediction_page(
                subject if instances else f"one more instance of {subject}", prediction
            )
        ],
        nothing="Nothing can be said.",
    )
    show(output, result)
    return 0


def _requests(name: str, instances: list[str]) -> dict[str, PredictPerformanceRequest]:
    if instances:
        return {each: PredictPerformanceRequest(instance=each) for each in instances}
    model = model_of(name)
    return {model: PredictPerformanceRequest(evaluation=EvaluatePlacementRequest(model_name=model))}


async def _placed(target: MeshTarget, name: str) -> list[str]:
    instance = instance_of(name)
    if instance is not None:
        return [instance]
    async with connect.registry(target) as registry:
        found = await all_instances(registry, model_of(name))
    return [each.name for each in found if each.HasField("placement") and not each.retiring]
