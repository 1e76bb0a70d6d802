"""`moor simulate`: where models would go on a fleet on paper."""

from collections.abc import Sequence
from pathlib import Path

from moorage.scheduler.v1.simulation_pb2 import (
    SimulatedPlacement,
    SimulatePlacementRequest,
    SimulatePlacementResponse,
)
from moorage_cli import connect
from moorage_cli.console import make_console, show
from moorage_cli.exits import EXIT_DONE, EXIT_FAILED, EXIT_UNFINISHED
from moorage_cli.results import Output, Result
from moorage_cli.simulation.files import read_files
from moorage_cli.simulation.live import live_fleet, live_model
from moorage_cli.simulation.mistakes import FileInvalid
from moorage_cli.simulation.source_map import SourceMap
from moorage_cli.target import MeshTarget
from moorage_cli.views.simulation import simulation_page
from moorage_common.core.errors import InvalidArgument

_TIMEOUT_S = 300.0
"""Ten thousand replicas on ten thousand workers take a while."""


async def run(
    target: MeshTarget,
    *,
    files: Sequence[Path],
    live: bool,
    models: Sequence[str],
    closest: int,
    seed: str,
    output: Output,
) -> int:
    """Places models on a fleet that exists in files, and in the mesh if that is wanted."""
    request, places = read_files(files)
    await _add_live(target, request, fleet=live, models=models)
    if not request.models:
        raise FileInvalid(
            "no model is given", remedy="Write one into a file, or name one of the mesh with --model."
        )
    request.max_workers = closest
    request.seed = seed or request.seed
    response = await _simulate(target, request, places)
    placements = response.placements
    result = Result(
        data={"placements": list(placements)},
        names=[each.placement.worker for each in placements if each.HasField("placement")],
        page=simulation_page(placements),
        nothing="No replica is wanted.",
    )
    show(output, result)
    return _exit_code(placements)


async def _add_live(
    target: MeshTarget, request: SimulatePlacementRequest, *, fleet: bool, models: Sequence[str]
) -> None:
    if not fleet and not models:
        return
    async with connect.registry(target) as registry:
        if fleet:
            workers, instances = await live_fleet(registry)
            request.workers.extend(workers)
            request.instances.extend(instances)
        for name in models:
            request.models.append(await live_model(registry, name))


async def _simulate(
    target: MeshTarget, request: SimulatePlacementRequest, places: SourceMap
) -> SimulatePlacementResponse:
    async with connect.scheduler(target) as scheduler:
        with make_console(stderr=True).status("simulating"):
            try:
                return await scheduler.scheduler.SimulatePlacement(request, timeout=_TIMEOUT_S)
            except InvalidArgument as error:
                raise places.located(error) from None


def _exit_code(placements: Sequence[SimulatedPlacement]) -> int:
    if any(each.status.code for each in placements):
        return EXIT_FAILED
    return EXIT_DONE if all(each.HasField("placement") for each in placements) else EXIT_UNFINISHED
