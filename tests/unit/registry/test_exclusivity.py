"""Each worker can serve only one distributed vLLM instance at a time."""

import pytest

from moorage_common.core.errors import ErrorReason, FailedPrecondition
from moorage_common.core.states import EngineKind
from moorage_registry.core.engines import engine_of, every_member_loads, is_exclusive
from moorage_registry.core.exclusivity import check_free, check_selection
from moorage_registry.core.selections import selection_of

OTHER = "models/other/instances/i"


def selection(*counts, per_replica=0):
    gpus = [
        {"worker": f"workers/{worker}", "uuid": f"GPU-{worker}{index}"}
        for worker, count in zip("abc", counts, strict=False)
        for index in range(count)
    ]
    return selection_of({"gpus": gpus, "gpus_per_replica": per_replica})


def test_it_names_the_worker_and_the_instance_that_it_serves():
    with pytest.raises(FailedPrecondition) as caught:
        check_free(["a", "b", "c"], {"b": OTHER, "c": OTHER, "d": OTHER})
    error = caught.value
    assert error.reason is ErrorReason.DISTRIBUTED_VLLM_EXCLUSIVE
    assert error.message == (
        "each worker can serve only one distributed vLLM instance at a time; workers/b already serves"
        " models/other/instances/i"
    )
    assert error.metadata == {"worker": "workers/b", "instance": OTHER}
    assert [violation.field for violation in error.violations] == ["workers/b", "workers/c"]


def test_free_workers_are_free():
    check_free(["a", "b"], {"c": OTHER})


@pytest.mark.parametrize(
    ("chosen", "busy", "refused"),
    [
        (selection(2, 2), "", False),
        (selection(2, 2), "b", True),
        (selection(2, 2), "c", False),
        # On one worker it is not a distributed one.
        (selection(4), "a", False),
        (selection(2, 2, per_replica=2), "ab", False),
        # Over several there may be enough others, or not.
        (selection(2, 2, 2, per_replica=4), "a", False),
        (selection(2, 2, 2, per_replica=4), "ab", True),
        (selection(2, 2, 2, per_replica=5), "c", True),
    ],
)
def test_gpus_chosen_by_hand_are_refused_where_no_way_is_left(chosen, busy, refused):
    holders = dict.fromkeys(busy, OTHER)
    if not refused:
        check_selection(chosen, holders)
        return
    with pytest.raises(FailedPrecondition) as caught:
        check_selection(chosen, holders)
    assert caught.value.metadata["worker"] == f"workers/{busy[0]}"


def test_only_vllm_over_several_workers_is_exclusive():
    assert is_exclusive(EngineKind.VLLM, 2)
    assert not is_exclusive(EngineKind.VLLM, 1)
    assert not is_exclusive(EngineKind.LLAMA_CPP, 2)
    assert not is_exclusive(None, 2)


def test_who_loads_the_artifact_depends_on_the_engine():
    assert every_member_loads(EngineKind.VLLM)
    assert not every_member_loads(EngineKind.LLAMA_CPP)


def test_the_engine_is_the_one_that_was_asked_for_or_that_fits_the_files():
    assert engine_of(EngineKind.VLLM, ["gguf"]) is EngineKind.VLLM
    assert engine_of(None, ["gguf"]) is EngineKind.LLAMA_CPP
    assert engine_of(None, ["safetensors"]) is EngineKind.VLLM
    assert engine_of(None, []) is None
