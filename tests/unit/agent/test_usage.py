"""How much an engine is used: what it counts, what is made of that, and what is worth telling."""

from dataclasses import replace

import pytest

from moorage_agent.core.measure import Measurements, changes, merged
from moorage_agent.core.usage import EngineCounters, InstanceFigures, Rate, UsageTracker
from moorage_agent.devices.host import cpu_product
from moorage_agent.engines.counters import llama_cpp_counters, read_samples, vllm_counters
from moorage_agent.mesh import convert

NOTHING = EngineCounters(
    prompt_tokens=0, prompt_s=0, generated_tokens=0, generating_s=0, serving=0, concurrency=0
)
LLAMA_CPP = """\
# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed, excluding cached tokens
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 1000
llamacpp:prompt_tokens_cached_total 50
llamacpp:prompt_seconds_total 2.5
llamacpp:tokens_predicted_total 1.23457e+06
llamacpp:tokens_predicted_seconds_total 20000
llamacpp:n_decode_total 400
# TYPE llamacpp:predicted_tokens_seconds gauge
llamacpp:predicted_tokens_seconds 61.5
llamacpp:requests_processing 2
llamacpp:n_busy_slots_per_decode 1.25
llamacpp:spec_decode_num_accepted_tokens_per_pos_total{position="0"} 3
"""
VLLM = """\
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="tiny"} 3.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="tiny"} 500.0
vllm:generation_tokens_created{engine="0",model_name="tiny"} 1.7e+09
vllm:request_success_total{engine="0",finished_reason="stop",model_name="tiny"} 4.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="tiny"} 6.0
vllm:inter_token_latency_seconds_bucket{engine="0",le="0.01",model_name="tiny"} 490.0
vllm:inter_token_latency_seconds_count{engine="0",model_name="tiny"} 490.0
vllm:inter_token_latency_seconds_sum{engine="0",model_name="tiny"} 5.0
vllm:request_prefill_time_seconds_sum{engine="0",model_name="tiny"} 0.5
vllm:request_prefill_kv_computed_tokens_sum{engine="0",model_name="tiny"} 2000.0
"""


class TestCounters:
    def test_of_llama_cpp(self) -> None:
        assert llama_cpp_counters(LLAMA_CPP) == EngineCounters(
            prompt_tokens=1000,
            prompt_s=2.5,
            generated_tokens=1_234_570,
            generating_s=20_000,
            serving=2,
            concurrency=1.25,
        )

    def test_of_vllm(self) -> None:
        assert vllm_counters(VLLM) == EngineCounters(
            prompt_tokens=2000,
            prompt_s=0.5,
            generated_tokens=500,
            generating_s=5,
            serving=3,
            concurrency=3,
            request_count=10,
        )

    def test_values_that_labels_tell_apart_are_summed(self) -> None:
        assert read_samples('a{x="1 }"} 1\na{x="2"} 2.5 1700000000\nb 4\n# a 100\n') == {"a": 3.5, "b": 4}

    @pytest.mark.parametrize(
        "text", ["", "llamacpp:prompt_tokens_total 1", LLAMA_CPP.replace("20000", "many")]
    )
    def test_what_is_not_whole_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"missing|convert"):
            llama_cpp_counters(text)


class TestRate:
    def test_a_rate_is_of_all_work_while_that_is_little(self) -> None:
        rate = Rate()
        assert rate.per_second == 0
        rate.add(100, 1.0)
        rate.add(300, 1.0)
        assert rate.per_second == pytest.approx(200, rel=0.01)

    def test_recent_work_counts_more(self) -> None:
        rate = Rate()
        rate.add(100 * 1000, 1000.0)
        for _ in range(20):
            rate.add(50 * 30, 30.0)
        assert rate.per_second == pytest.approx(50, rel=0.05)

    def test_no_work_changes_nothing(self) -> None:
        rate = Rate()
        rate.add(100, 1.0)
        rate.add(0, 1.0)
        rate.add(5, 0.0)
        rate.add(-5, -1.0)
        assert rate.per_second == 100


class TestTracker:
    @staticmethod
    def tracker(adopted: bool = False) -> UsageTracker:
        return UsageTracker(uid="u", generation=3, adopted=adopted)

    def test_what_was_counted_between_two_readings_is_work(self) -> None:
        tracker = self.tracker()
        tracker.note(NOTHING, now=100)
        assert not tracker.figures.used
        worked = replace(
            NOTHING, prompt_tokens=500, prompt_s=0.5, generated_tokens=100, generating_s=2, concurrency=1
        )
        tracker.note(worked, now=105)
        assert tracker.figures == InstanceFigures(
            uid="u",
            generation=3,
            decode_tokens_per_s=50,
            prefill_tokens_per_s=1000,
            concurrent_requests=1,
            generated_tokens=100,
            prompt_tokens=500,
            last_activity=105,
        )
        tracker.note(worked, now=110)
        assert tracker.figures.last_activity == 105
        assert tracker.figures.decode_tokens_per_s == 50

    def test_a_long_answer_is_activity_before_it_is_counted(self) -> None:
        tracker = self.tracker()
        tracker.note(NOTHING, now=100)
        tracker.note(replace(NOTHING, serving=1), now=105)
        assert tracker.figures.last_activity == 105

    def test_what_an_adopted_engine_did_before_is_no_activity(self) -> None:
        worked = replace(NOTHING, generated_tokens=1000, generating_s=10)
        tracker = self.tracker(adopted=True)
        tracker.note(worked, now=100)
        assert not tracker.figures.used
        assert tracker.figures.decode_tokens_per_s == pytest.approx(100)
        tracker.note(replace(worked, generated_tokens=1001, generating_s=10.01), now=105)
        assert tracker.figures.last_activity == 105

    def test_what_a_new_engine_did_before_the_first_reading_is_activity(self) -> None:
        tracker = self.tracker()
        tracker.note(replace(NOTHING, generated_tokens=1000, generating_s=10), now=100)
        assert tracker.figures.last_activity == 100


class TestTelling:
    FIGURES = InstanceFigures(
        uid="u", generation=1, decode_tokens_per_s=100, prefill_tokens_per_s=1000, last_activity=5000
    )

    def told(self, **others: float) -> bool:
        before = merged(None, Measurements(instances={"u": self.FIGURES}))
        now = Measurements(instances={"u": replace(self.FIGURES, **others)})
        return not changes(before, now).empty

    def test_the_first_figures_are_told_and_then_only_what_moved(self) -> None:
        now = Measurements(instances={"u": self.FIGURES})
        assert changes(None, now).instances == now.instances
        assert changes(Measurements(), now).instances == now.instances
        assert not self.told()

    def test_of_an_instance_that_nobody_used_nothing_is_told(self) -> None:
        unused = Measurements(instances={"u": replace(self.FIGURES, last_activity=0)})
        assert changes(None, unused).instances == {}

    def test_speeds_that_move_by_more_than_a_twentieth(self) -> None:
        assert not self.told(decode_tokens_per_s=104)
        assert self.told(decode_tokens_per_s=106)
        assert self.told(decode_tokens_per_s=94)
        assert self.told(prefill_tokens_per_s=1100)

    def test_use_a_minute_after_what_was_told(self) -> None:
        assert not self.told(last_activity=5059, generated_tokens=10**6)
        assert self.told(last_activity=5060)

    def test_another_generation(self) -> None:
        assert self.told(generation=2)

    def test_a_first_speed(self) -> None:
        before = Measurements(instances={"u": replace(self.FIGURES, decode_tokens_per_s=0)})
        assert changes(before, Measurements(instances={"u": self.FIGURES})).instances

    def test_as_a_message(self) -> None:
        message = convert.measurements(Measurements(instances={"u": self.FIGURES}))
        [told] = message.instances
        assert (told.instance_uid, told.generation) == ("u", 1)
        assert told.performance.decode_tokens_per_s == 100
        assert told.performance.last_activity_time.ToSeconds() == 5000
        assert not told.performance.HasField("request_count")


def test_the_cpu_has_a_name() -> None:
    assert (
        cpu_product("processor\t: 0\nmodel name\t: AMD EPYC  9354 \nmodel name\t: other\n") == "AMD EPYC 9354"
    )
    assert cpu_product("processor : 0\nCPU implementer : 0x41\n") == ""
