"""Calibration: what measured speeds say of predicted ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_common.core.states import EngineKind
from moorage_scheduler.prediction.calibration import BOUNDS, Sample, counts, learn

LLAMA, VLLM = EngineKind.LLAMA_CPP, EngineKind.VLLM


def sample(measured, *, predicted=100.0, device="L40S", engine=LLAMA, **others):
    """A sample of one device that should make so many tokens a second; others take seconds of each, too."""
    return Sample(
        engine=engine, device_seconds={device: 1 / predicted, **others}, measured_tokens_per_s=measured
    )


def test_too_few_say_nothing():
    assert learn([sample(80)] * 2).factor(LLAMA, "L40S") == 1.0
    assert learn([sample(80)] * 2, least=2).factor(LLAMA, "L40S") == pytest.approx(0.8)


def test_the_median_of_ratios_counts():
    measured = (70, 80, 90, 3, 4000)
    assert learn(map(sample, measured)).factor(LLAMA, "L40S") == pytest.approx(0.8)


def test_engines_and_devices_are_apart():
    samples = [sample(80)] * 3 + [sample(50, engine=VLLM)] * 3 + [sample(120, device="L4")] * 3
    learned = learn(samples)
    assert learned.factor(LLAMA, "L40S") == pytest.approx(0.8)
    assert learned.factor(VLLM, "L40S") == pytest.approx(0.5)
    assert learned.factor(LLAMA, "L4") == pytest.approx(1.2)
    assert learned.factor(VLLM, "L4") == 1.0


def test_only_where_nearly_all_time_goes_is_something_said():
    mixed = [sample(50, CPU=1 / 100)] * 3
    assert learn(mixed).factors == {}
    # Of 10.5 ms the card takes 10 as predicted; measured are 20.5.
    mostly = [sample(1 / 0.0205, CPU=0.0005)] * 3
    assert learn(mostly).factor(LLAMA, "L40S") == pytest.approx(0.5)


def test_links_are_not_calibrated():
    waiting = [Sample(engine=LLAMA, device_seconds={"": 0.01, "L40S": 0.001}, measured_tokens_per_s=10)] * 3
    assert learn(waiting).factors == {}


@pytest.mark.parametrize("measured", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_speed_is_no_sample(measured):
    assert learn([sample(measured)] * 3).factors == {}


def test_faster_than_the_others_alone_allow_is_no_sample():
    assert learn([sample(1e9, CPU=0.001)] * 3).factors == {}


def test_nothing_measured_nothing_learned():
    assert learn([]).factors == {}
    assert learn([Sample(engine=LLAMA, device_seconds={}, measured_tokens_per_s=1.0)] * 3).factors == {}


@given(st.lists(st.floats(1e-3, 1e6), min_size=3, max_size=9))
def test_the_factor_is_bounded_and_between_the_ratios(measured):
    factor = learn(map(sample, measured)).factor(LLAMA, "L40S")
    assert BOUNDS[0] <= factor <= BOUNDS[1]
    low, high = (min(BOUNDS[1], max(BOUNDS[0], edge / 100)) for edge in (min(measured), max(measured)))
    assert low * 0.999 <= factor <= high * 1.001


def test_a_report_counts_if_there_is_enough_of_it_and_one_request_at_a_time():
    assert counts(generated_tokens=1000, concurrent_requests=1.0)
    assert not counts(generated_tokens=10, concurrent_requests=1.0)
    assert not counts(generated_tokens=1000, concurrent_requests=4.0)
