"""The life of one file's pull."""

import pytest

from moorage_common.core.errors import (
    DataLoss,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from moorage_downloader.core.pull_state import TRANSITIONS, FilePull, FileState, is_transient


def fetching():
    pull = FilePull()
    pull.to(FileState.FETCHING)
    return pull


def test_the_way_through():
    pull = fetching()
    assert pull.failed(Unavailable("away")) is FileState.BACKING_OFF
    pull.to(FileState.FETCHING)
    pull.to(FileState.VERIFYING)
    pull.to(FileState.DONE)


def test_wrong_content_is_tried_again_a_few_times():
    pull = fetching()
    for expected in (FileState.BACKING_OFF, FileState.BACKING_OFF, FileState.FAILED):
        pull.to(FileState.VERIFYING)
        assert pull.failed(DataLoss("digest")) is expected
        if expected is FileState.BACKING_OFF:
            pull.to(FileState.FETCHING)


def test_what_is_tried_again():
    for _ in range(100):
        pull = fetching()
        assert pull.failed(ResourceExhausted("disk")) is FileState.BACKING_OFF
    for error in (NotFound("x"), PermissionDenied("x"), FailedPrecondition("x")):
        assert not is_transient(error)
        assert fetching().failed(error) is FileState.FAILED


@pytest.mark.parametrize("end", [FileState.DONE, FileState.FAILED])
def test_nothing_follows_the_ends(end):
    assert TRANSITIONS[end] == frozenset()
    with pytest.raises(ValueError, match=f"from {end} to FETCHING"):
        FilePull(state=end).to(FileState.FETCHING)


def test_every_state_is_in_the_table_and_reachable():
    assert set(TRANSITIONS) == set(FileState)
    assert frozenset().union(*TRANSITIONS.values()) | {FileState.WAITING} == set(FileState)
