import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_common.core.errors import FieldViolation, InvalidArgument, ResourceExhausted, Shortage
from moorage_common.rpc.status import to_status
from moorage_common.rpc.wire import MAX_STATUS_BYTES, fit


def test_an_error_that_fits_is_not_touched() -> None:
    error = InvalidArgument("m", violations=[FieldViolation("f", "d")])
    assert fit(error) is error


@given(count=st.integers(0, 400), length=st.integers(0, 3000), letter=st.sampled_from("aé漢"))
def test_any_error_is_made_to_fit_and_says_what_it_left_out(count: int, length: int, letter: str) -> None:
    text = letter * length
    error = ResourceExhausted(
        text,
        remedy=text,
        resource=text,
        metadata={f"k{number}": text for number in range(20)},
        violations=[FieldViolation(f"f{number}", text) for number in range(count)],
        shortages=[Shortage(f"s{number}", text) for number in range(count)],
    )
    fitted = fit(error)
    assert type(fitted) is ResourceExhausted
    assert to_status(fitted).ByteSize() <= MAX_STATUS_BYTES
    for kept in (fitted.violations, fitted.shortages):
        named = [item for item in kept if not item.description.startswith("and ")]
        left_out = count - len(named)
        assert not left_out or kept[-1].description == f"and {left_out} more"


@pytest.mark.parametrize("count", [10, 1000])
def test_violations_are_kept_from_the_front(count: int) -> None:
    violations = [FieldViolation(f"items[{number}]", "must not be empty " * 5) for number in range(count)]
    fitted = fit(InvalidArgument("bad", violations=violations))
    assert to_status(fitted).ByteSize() <= MAX_STATUS_BYTES
    assert fitted.violations[0] == violations[0]
