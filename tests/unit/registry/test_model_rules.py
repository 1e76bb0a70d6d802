"""Models that contradict themselves: every contradiction is told, all at once."""

from datetime import UTC, datetime

import pytest

from moorage_common.core.errors import ErrorReason, InvalidArgument
from moorage_common.core.states import DesiredState, EngineKind
from moorage_registry.core.model_rules import check_model
from moorage_registry.core.records import Model

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def model(replicas=1, **fields):
    return Model(
        uid="m",
        created_at=NOW,
        updated_at=NOW,
        id="m",
        source="hf:a/b",
        replicas=replicas,
        desired_state=DesiredState.RUNNING,
        **fields,
    )


def gpus(*counts, **fields):
    """So many GPUs of workers a, b, …"""
    chosen = [
        {"worker": f"workers/{worker}", "uuid": f"GPU-{worker}{index}"}
        for worker, count in zip("abcd", counts, strict=False)
        for index in range(count)
    ]
    return {"gpus": chosen, **fields}


def position(worker, index=None, kind="ACCELERATOR_KIND_CUDA"):
    return {"worker": worker, "position": {"kind": kind} | ({"index": index} if index else {})}


def violations(made):
    with pytest.raises(InvalidArgument) as caught:
        check_model(made)
    assert caught.value.reason is ErrorReason.INVALID_REQUEST
    return {
        violation.field.removeprefix("model."): violation.description for violation in caught.value.violations
    }


@pytest.mark.parametrize(
    "made",
    [
        model(),
        model(engine=EngineKind.VLLM, vllm={"max_model_len": 8192}),
        model(engine=EngineKind.LLAMA_CPP, llama_cpp={"gpu_layers": 0}),
        model(vllm={"enforce_eager": True}),
        model(engine_version="0.32.0"),
        model(engine_version="2026.10.11549"),
        model(engine_version=">=0.30,<0.33"),
        model(engine_version="~=0.30, !=0.31.2"),
        model(placement=gpus(2, 2)),
        model(placement=gpus(2, 2), replicas=3),
        model(placement=gpus(2, 2, gpus_per_replica=2), replicas=2),
        model(placement=gpus(2, 2, gpus_per_replica=2, forbid_distributed=True), replicas=2),
        model(placement=gpus(2, 2, primary_worker="workers/b")),
        model(placement=gpus(2, workers=["workers/a", "workers/c"])),
        model(placement={"primary_worker": "workers/b", "workers": ["workers/b"]}),
        model(placement={"forbid_distributed": True}),
        model(placement=gpus(2, 2), vllm={"tensor_parallel_size": 2, "pipeline_parallel_size": 2}),
        model(placement=gpus(3, gpus_per_replica=3), vllm={"pipeline_parallel_size": 3}),
        model(placement=gpus(4, gpus_per_replica=4), vllm={"tensor_parallel_size": 2}),
        model(placement=gpus(8), vllm={"tensor_parallel_size": 2, "data_parallel_size": 2}),
        model(vllm={"tensor_parallel_size": 7}),
    ],
)
def test_what_can_be_meant(made):
    check_model(made)


@pytest.mark.parametrize(
    ("made", "field", "what"),
    [
        (model(engine=EngineKind.VLLM, llama_cpp={"threads": 1}), "llama_cpp", "but the engine is VLLM"),
        (model(engine=EngineKind.LLAMA_CPP, vllm={"text_only": True}), "vllm", "but the engine is LLAMA_CPP"),
        (model(llama_cpp={"threads": 1}, vllm={"text_only": True}), "vllm", "one engine serves a model"),
        *(
            (model(engine_version=v), "engine_version", "PEP 440")
            for v in ("latest", "=> 1", ">=x", " ", ",", "b6000")
        ),
        (model(placement={"gpus_per_replica": 2}), "placement.gpus_per_replica", "there are none"),
        (
            model(placement=gpus(2, 1, gpus_per_replica=2), replicas=2),
            "placement.gpus_per_replica",
            "2 x 2 replicas = 4 GPUs, and placement.gpus has 3",
        ),
        (model(placement=gpus(2, gpus_per_replica=3), replicas=0), "placement.gpus_per_replica", "3 x 1"),
        (
            model(
                placement={
                    "gpus": [position("workers/a", 1), position("workers/a"), position("workers/a", 1)]
                }
            ),
            "placement.gpus[2]",
            "is the same GPU as gpus[0]",
        ),
        (
            model(placement={"gpus": [{"worker": f"workers/{w}", "uuid": "GPU-1"} for w in "ab"]}),
            "placement.gpus[1]",
            "is the same GPU as gpus[0]",
        ),
        (
            model(placement=gpus(1, 1, workers=["workers/a"])),
            "placement.gpus[1].worker",
            "is not among placement.workers",
        ),
        (model(placement=gpus(1), llama_cpp={"gpu_layers": 0}), "llama_cpp.gpu_layers", "would not be used"),
        (
            model(placement={"primary_worker": "workers/b", "workers": ["workers/a"]}),
            "placement.primary_worker",
            "is not among placement.workers",
        ),
        (model(placement=gpus(2, primary_worker="workers/b")), "placement.primary_worker", "has none of"),
        (
            model(placement={"primary_worker": "workers/b", "forbid_distributed": True}),
            "placement.primary_worker",
            "forbid_distributed excludes",
        ),
        (
            model(placement=gpus(2, 1, forbid_distributed=True)),
            "placement.forbid_distributed",
            "a replica uses 3 of them, and no worker has more than 2",
        ),
        (
            model(
                placement=gpus(3, gpus_per_replica=3),
                vllm={"tensor_parallel_size": 2, "pipeline_parallel_size": 2},
            ),
            "vllm",
            "make 2 x 2 = 4 GPUs, but a replica uses 3 (placement.gpus_per_replica)",
        ),
        (
            model(
                placement=gpus(2, 2),
                vllm={"tensor_parallel_size": 1, "pipeline_parallel_size": 2, "data_parallel_size": 1},
            ),
            "vllm",
            "make 1 x 2 x 1 = 2 GPUs, but a replica uses 4 (all of placement.gpus)",
        ),
        (
            model(placement=gpus(4, gpus_per_replica=4), vllm={"tensor_parallel_size": 3}),
            "vllm",
            "make 3 = 3 GPUs or a multiple, but a replica uses 4",
        ),
    ],
)
def test_what_cannot(made, field, what):
    assert what in violations(made)[field]


def test_everything_is_told_at_once():
    made = model(
        engine=EngineKind.VLLM,
        llama_cpp={"threads": 1},
        engine_version="newest",
        replicas=4,
        placement=gpus(1, 1, workers=["workers/c"], primary_worker="workers/d", gpus_per_replica=2),
        vllm={"tensor_parallel_size": 3},
    )
    assert set(violations(made)) == {
        "llama_cpp",
        "engine_version",
        "placement.gpus[0].worker",
        "placement.gpus[1].worker",
        "placement.gpus_per_replica",
        "placement.primary_worker",
        "vllm",
    }


def test_the_message_says_what_the_violations_say():
    with pytest.raises(InvalidArgument) as caught:
        check_model(model(placement={"gpus_per_replica": 2}))
    assert caught.value.message.startswith(
        "models/m contradicts itself: model.placement.gpus_per_replica says"
    )
