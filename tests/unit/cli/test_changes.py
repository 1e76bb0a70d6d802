import pytest

from moorage_cli.views.changes import differences


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"replicas": 1.0}, {"replicas": 3.0}, ["replicas: 1 → 3"]),
        ({"cordoned": False}, {"cordoned": True}, ["cordoned: false → true"]),
        (
            {"desired_state": "DESIRED_STATE_RUNNING"},
            {"desired_state": "DESIRED_STATE_STOPPED"},
            ["desired_state: RUNNING → STOPPED"],
        ),
        ({"engine": "ENGINE_KIND_LLAMA_CPP"}, {}, ["engine: LLAMA_CPP → nothing"]),
        ({"labels": {"zone": "a"}}, {"labels": {"zone": "b", "x": "y"}}, ["labels.zone: a → b", "labels.x: y"]),
        ({"ram": {"used_bytes": "1024"}}, {"ram": {"used_bytes": "2048"}}, ["ram.used_bytes: 1.00 KiB → 2.00 KiB"]),
        ({"workers": ["a"]}, {"workers": ["a", "b"]}, ["workers: a → a, b"]),
        ({"pools": [{"n": 1}]}, {"pools": [{"n": 2}]}, ["pools[0].n: 1 → 2"]),
        ({"worker": ""}, {"worker": "workers/w"}, ["worker: workers/w"]),
        ({"worker": ""}, {}, []),
        ({"message": "x" * 200}, {}, ["message: " + "x" * 120 + "… → nothing"]),
        ({"a": 1}, {"a": 1}, []),
    ],
)  # fmt: skip
def test_what_differs_in_words(before: dict[str, object], after: dict[str, object], told: list[str]) -> None:
    assert [str(change) for change in differences(before, after)] == told
