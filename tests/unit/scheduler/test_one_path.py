"""The loop, a dry run and a simulation of the same fleet give the same answer: they are one code path."""

import pytest

from moorage.common.v1 import engine_pb2, model_facts_pb2
from moorage.registry.v1 import worker_pb2
from moorage.scheduler.v1 import scheduler_service_pb2
from moorage.scheduler.v1 import simulation_pb2 as pb
from moorage_common.core.clock import SystemClock
from moorage_scheduler.convert.outcomes import explanation_to_proto, placement_to_proto
from moorage_scheduler.core.policy import ScoringPolicy
from moorage_scheduler.decisions import Action, decide
from moorage_scheduler.mirror import Mirror
from moorage_scheduler.predictor import Predictor
from moorage_scheduler.queries import Queries
from moorage_scheduler.simulation import Simulations

GIB = 2**30
FACTS = model_facts_pb2.ModelFacts(
    gguf=model_facts_pb2.GgufFacts(
        block_count=8, block_bytes=[3 * GIB] * 8, embedding_length=64, context_length=512
    )
)
FLEET = {
    "workers/a": (64, (10,)),
    "workers/b": (64, (16, 16)),
    "workers/c": (8, (40,)),
    "workers/d": (128, ()),
}
"""RAM and cards of each, in GiB."""


def on_paper():
    driver = worker_pb2.InstalledEngine(
        kind=engine_pb2.ENGINE_KIND_LLAMA_CPP, accelerator_kinds=[worker_pb2.ACCELERATOR_KIND_CUDA]
    )
    workers = [
        pb.SimulatedWorker(
            name=name,
            ram_total_bytes=ram * GIB,
            engines=[driver],
            accelerators=[
                pb.SimulatedAccelerator(
                    uuid=f"{name}/{i}",
                    kind=worker_pb2.ACCELERATOR_KIND_CUDA,
                    index=i,
                    memory_total_bytes=size * GIB,
                )
                for i, size in enumerate(cards)
            ],
        )
        for name, (ram, cards) in FLEET.items()
    ]
    model = pb.SimulatedModel(name="models/m", facts=FACTS)
    return pb.SimulatePlacementRequest(workers=workers, models=[model], seed="s")


@pytest.mark.rule("one-path")
async def test_the_loop_a_dry_run_and_a_simulation_agree(records):
    for name, (ram, cards) in FLEET.items():
        records.worker(name, ram=ram * GIB, gpus=[size * GIB for size in cards])
        records.copy(name)
    model = records.model(facts=FACTS)
    waiting = records.instance(uid="s/models/m/0")
    mirror, policy = Mirror(), ScoringPolicy()
    queries = Queries(changes=records, mirror=mirror, registry=None, policy=policy)
    asked = await queries.request(scheduler_service_pb2.EvaluatePlacementRequest(model_name=model.name))
    dry = queries.place(asked, 10, queries.snapshot())
    looped = queries.place(mirror.request_for(waiting), 10, mirror.snapshot())
    decision = decide(waiting, looped, holders={looped.placement.worker})
    simulations = Simulations(
        policy=policy,
        table=lambda product: None,
        artifact=None,
        downloader=None,
        predict=Predictor(mirror, SystemClock()).predict,
    )
    [simulated] = (await simulations.simulate(on_paper())).placements
    assert decision.action is Action.BIND
    assert placement_to_proto(dry.placement).claims == placement_to_proto(looped.placement).claims
    assert simulated.placement.claims == placement_to_proto(looped.placement).claims
    assert simulated.placement.worker == dry.placement.worker == "workers/c"
    counts = [explanation_to_proto(each.explanation).reason_counts for each in (dry, looped)]
    assert counts == [simulated.explanation.reason_counts] * 2
