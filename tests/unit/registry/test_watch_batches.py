"""Several events in one response, put together without decoding any."""

import pytest

from moorage.registry.v1.model_pb2 import Model
from moorage.registry.v1.watch_service_pb2 import WATCH_OPERATION_CREATED, WatchResponse
from moorage_registry.convert.events import encode_batch
from moorage_registry.servicers.watch import packed


def event(number, size=1):
    labels = {"filler": "x" * size}
    return WatchResponse(
        revision=number,
        operation=WATCH_OPERATION_CREATED,
        model=Model(name=f"models/m{number}", labels=labels),
    )


def encoded(*events):
    return [each.SerializeToString() for each in events]


@pytest.mark.parametrize("size", [0, 1, 100, 127, 128, 16_383, 16_384, 3_000_000])
def test_a_batch_is_what_protobuf_would_write(size):
    events = [event(1, size), event(2), event(300, size)]
    assert encode_batch(encoded(*events)) == WatchResponse(events=events).SerializeToString()


def test_without_a_batch_each_event_is_a_response():
    events = [event(number) for number in range(3)]
    assert [WatchResponse.FromString(one) for one in packed(encoded(*events), 0)] == events


def sizes(responses):
    return [len(WatchResponse.FromString(response).events) for response in responses]


def test_responses_hold_no_more_than_is_asked_for_and_no_more_than_a_mebibyte():
    few = encoded(*map(event, range(7)))
    assert sizes(packed(few, 3)) == [3, 3, 1]
    assert sizes(packed(few, 100)) == [7]
    assert sizes(packed([], 3)) == []
    large = encoded(*(event(number, 400_000) for number in range(5)))
    assert sizes(packed(large, 100)) == [2, 2, 1]
    assert sizes(packed(encoded(event(1), event(2, 2_000_000), event(3)), 100)) == [1, 1, 1]
