"""What differs between two states of a resource."""

import pytest

from moorage_registry.core.audit import changed_fields


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ({"replicas": 1}, {"replicas": 2}, ["replicas"]),
        (
            {"a": 1, "etag": "x", "version": "1", "update_time": "t"},
            {"a": 1, "etag": "y", "version": "2"},
            [],
        ),
        ({"labels": {"zone": "a", "tier": "1"}}, {"labels": {"zone": "b", "tier": "1"}}, ["labels.zone"]),
        ({"labels": {"zone": "a"}}, {}, ["labels"]),
        ({}, {"cordoned": True}, ["cordoned"]),
        ({"placement": {"workers": ["a"]}}, {"placement": {"workers": ["b"]}}, ["placement.workers"]),
        (None, {"a": 1}, []),
        ({"a": 1}, None, []),
    ],
)
def test_changed_fields(before, after, changed):
    assert changed_fields(before, after) == changed
