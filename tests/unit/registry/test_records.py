"""Memory pools, what pulls may say, and errors as they are stored."""

from datetime import UTC, datetime

import pytest

from moorage_common.core.errors import InvalidArgument
from moorage_registry.core.pulled import check_pulled
from moorage_registry.core.records import Artifact, Pool

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SHA = "ab" * 32


def pool(**fields):
    return Pool(
        **{
            "worker_id": "w",
            "pool": "ram",
            "position": 0,
            "total": 10,
            "reserved": 2,
            "capacity": 8,
            **fields,
        }
    )


def test_what_is_available_is_neither_claimed_nor_foreign_and_never_negative():
    assert pool(claimed=3, foreign=2).available == 3
    assert pool(claimed=8, foreign=5).available == 0
    assert pool(present=False).available == 0


def test_capacity_follows_old_claims_up_and_down_again():
    crowded = pool(total=5, reserved=1, capacity=20, claimed=20)
    assert crowded.with_claimed(12).capacity == 12
    assert crowded.with_claimed(0).capacity == 4
    assert pool(total=1, reserved=5).with_claimed(0).capacity == 0


def artifact():
    files = [{"path": "a.gguf", "size_bytes": "5"}, {"path": "empty"}]
    return Artifact(
        uid="u", created_at=NOW, updated_at=NOW, id="a1", source="hf:a/b", revision="r", files=files,
        entry_point="a.gguf", size_bytes=5, facts={},
    )  # fmt: skip


def test_a_pull_that_brought_everything_is_right():
    check_pulled(
        artifact(), [{"path": "empty", "sha256": SHA}, {"path": "a.gguf", "size_bytes": "5", "sha256": SHA}]
    )


@pytest.mark.parametrize(
    "files",
    [
        [{"path": "a.gguf", "size_bytes": "5", "sha256": SHA}],
        [{"path": "a.gguf", "size_bytes": "5", "sha256": SHA}] * 2,
        [{"path": "a.gguf", "size_bytes": "6", "sha256": SHA}, {"path": "empty", "sha256": SHA}],
        [{"path": "a.gguf", "size_bytes": "5"}, {"path": "empty", "sha256": SHA}],
        [{"path": "b.gguf", "size_bytes": "5", "sha256": SHA}, {"path": "empty", "sha256": SHA}],
    ],
    ids=["missing", "twice", "size", "digest", "foreign"],
)
def test_a_pull_that_brought_something_else_is_refused(files):
    with pytest.raises(InvalidArgument, match=r"pulled\.files"):
        check_pulled(artifact(), files)
