"""The newest events in memory: what is there, what is not any more, and what comes after a gap."""

import pytest

from moorage_registry.core.records import Kind
from moorage_registry.watch.ring import Event, Ring


def events(*revisions, size=10):
    return [Event(r, Kind.MODEL, "models/m", None, b"x" * size) for r in revisions]


def revisions(found):
    return None if found is None else [event.revision for event in found]


@pytest.fixture
def ring():
    return Ring(max_events=10, max_bytes=1_000_000)


def test_what_comes_after_a_revision_is_found_by_its_place(ring):
    ring.extend(events(5, 6, 7))
    assert revisions(ring.after(4, 100)) == [5, 6, 7]
    assert revisions(ring.after(5, 1)) == [6]
    assert revisions(ring.after(7, 100)) == []


def test_what_is_not_there_is_not_guessed(ring):
    assert ring.after(0, 100) is None
    ring.extend(events(5, 6, 7))
    assert ring.after(3, 100) is None
    assert ring.after(8, 100) is None


def test_the_oldest_go_when_there_are_too_many(ring):
    for first in range(1, 100, 3):
        ring.extend(events(first, first + 1, first + 2))
        last = first + 2
        held = min(10, last)
        assert revisions(ring.after(last - held, 100)) == list(range(last - held + 1, last + 1))
        assert ring.after(last - held - 1, 100) is None


def test_the_oldest_go_when_they_are_too_large():
    ring = Ring(max_events=1000, max_bytes=100)
    ring.extend(events(1, 2, 3, size=40))
    assert revisions(ring.after(1, 100)) == [2, 3]
    ring.extend(events(4, size=400))
    assert ring.after(3, 100) is None
    ring.extend(events(5))
    assert revisions(ring.after(4, 100)) == [5]


def test_after_a_gap_only_what_is_new_is_held(ring):
    ring.extend(events(1, 2, 3))
    ring.extend(events(8, 9))
    assert ring.after(3, 100) is None
    assert revisions(ring.after(7, 100)) == [8, 9]
