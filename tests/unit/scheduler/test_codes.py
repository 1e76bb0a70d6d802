import numpy as np
import pytest

from moorage_common.core.states import AcceleratorKind, WorkerState
from moorage_scheduler.core.codes import ACCELERATORS, STATES


def test_each_member_has_a_code_of_its_own_and_none_is_zero():
    codes = [STATES.of(state) for state in WorkerState]
    assert sorted(codes) == list(range(1, len(STATES)))
    assert STATES.of(None) == 0
    assert [STATES.member(code) for code in codes] == list(WorkerState)
    assert STATES.member(0) is None


def test_bits_of_a_set_count_each_member_once():
    both = ACCELERATORS.bits([AcceleratorKind.CUDA, AcceleratorKind.METAL, AcceleratorKind.CUDA])
    assert both.bit_count() == 2
    assert both & ACCELERATORS.bits([AcceleratorKind.METAL])
    assert not both & ACCELERATORS.bits([AcceleratorKind.ROCM])
    assert ACCELERATORS.bits([]) == 0


@pytest.mark.parametrize("state", WorkerState)
def test_membership_is_asked_of_a_whole_column(state):
    column = np.array([0, *(STATES.of(other) for other in WorkerState)])
    assert STATES.among(column, {state}).tolist() == [False, *(other is state for other in WorkerState)]
