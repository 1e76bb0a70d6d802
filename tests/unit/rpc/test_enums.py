from enum import StrEnum

import pytest

from moorage.registry.v1 import worker_pb2
from moorage_common.core.errors import InvalidArgument
from moorage_common.core.states import WorkerState
from moorage_common.rpc import enums
from moorage_common.rpc.enums import EnumMap


def test_every_member_of_every_map_goes_there_and_back() -> None:
    maps = [value for value in vars(enums).values() if isinstance(value, EnumMap)]
    assert len(maps) > 10
    for enum_map in maps:
        for member, value in enum_map._to_proto.items():
            assert value != 0
            assert enum_map.from_proto(enum_map.to_proto(member)) is member


def test_names_are_paired_without_their_prefix() -> None:
    assert enums.WORKER_STATE.to_proto(WorkerState.READY) == worker_pb2.WORKER_STATE_READY


@pytest.mark.parametrize("value", [0, 99])
def test_a_value_without_meaning_is_an_invalid_argument(value: int) -> None:
    with pytest.raises(InvalidArgument, match=f"WorkerState has no value {value}"):
        enums.WORKER_STATE.from_proto(value)  # type: ignore[arg-type]


def test_sides_that_differ_are_refused() -> None:
    class Other(StrEnum):
        READY = "READY"
        SUNK = "SUNK"

    with pytest.raises(ValueError, match="SUNK"):
        EnumMap(worker_pb2.WorkerState, Other)
