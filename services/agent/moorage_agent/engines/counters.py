"""What engines count, as they say it at ``/metrics`` in Prometheus' text format."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from moorage_agent.core.usage import EngineCounters

_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{.*\})? ([^ \n]+)(?: -?\d+)?$", re.MULTILINE)


def read_samples(text: str) -> Mapping[str, float]:
    """Returns the values by name, summed over what labels tell apart.

    Raises:
        ValueError: A value is no number.
    """
    values: dict[str, float] = defaultdict(float)
    for name, value in _SAMPLE.findall(text):
        values[name] += float(value)
    return dict(values)


def llama_cpp_counters(text: str) -> EngineCounters:
    """Returns what llama.cpp's server has counted, the agent's own requests included.

    Its averages of speeds (``llamacpp:predicted_tokens_seconds``) begin anew whenever anybody reads them, and a
    fleet's own monitoring may, too: totals serve any number of readers. The first token of each answer counts among
    the tokens but not in the seconds, for it comes with the prompt; the server counts no requests.

    Raises:
        ValueError: A value is missing, or no number.
    """
    values = read_samples(text)
    with _complete():
        return EngineCounters(
            prompt_tokens=values["llamacpp:prompt_tokens_total"],
            prompt_s=values["llamacpp:prompt_seconds_total"],
            generated_tokens=values["llamacpp:tokens_predicted_total"],
            generating_s=values["llamacpp:tokens_predicted_seconds_total"],
            serving=int(values["llamacpp:requests_processing"]),
            concurrency=values["llamacpp:n_busy_slots_per_decode"],
        )


def vllm_counters(text: str) -> EngineCounters:
    """Returns what vLLM's server has counted, the agent's own requests included.

    Prompts that came from its cache are not in what its prefills computed.

    Raises:
        ValueError: A value is missing, or no number.
    """
    values = read_samples(text)
    with _complete():
        serving = values["vllm:num_requests_running"]
        return EngineCounters(
            prompt_tokens=values["vllm:request_prefill_kv_computed_tokens_sum"],
            prompt_s=values["vllm:request_prefill_time_seconds_sum"],
            generated_tokens=values["vllm:generation_tokens_total"],
            generating_s=values["vllm:inter_token_latency_seconds_sum"],
            serving=int(serving),
            concurrency=serving,
            request_count=int(values["vllm:request_success_total"]),
        )


@contextmanager
def _complete() -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        raise ValueError(f"{error} is missing") from None
