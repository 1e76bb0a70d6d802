"""Reasons dug out of what llama.cpp prints when it fails."""

import pytest

from moorage_agent.engines.llama_log import explain

AFTERMATH = """\
0.00.004.899 E llama_model_load_from_file_impl: failed to load model
0.00.004.900 E cmn  common_init_: failed to load model 'm.gguf'
0.00.004.902 E srv    load_model: failed to load model, 'm.gguf'
0.00.004.903 I srv    operator(): operator(): cleaning up before exit...
0.00.005.079 E srv          init: exiting due to model loading error
Traceback (most recent call last):
  File "server.py", line 7, in <module>
    server = xllamacpp.Server(parameters)
RuntimeError: Failed to init server, please check the input params.
"""


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            "0.00.004.601 E llama_model_load: error loading model: unknown model architecture: 'lxama'\n"
            + AFTERMATH,
            "error loading model: unknown model architecture: 'lxama'",
        ),
        (
            "0.00.001.000 E gguf_init_from_file_ptr: invalid magic characters: 'n???', expected 'GGUF'\n"
            "0.00.002.787 E llama_model_load: error loading model: llama_model_loader: failed to load model from m\n"
            + AFTERMATH,
            "invalid magic characters: 'n???', expected 'GGUF'",
        ),
        (
            "0.00.005.257 E srv         start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 47897\n"
            + AFTERMATH,
            "couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 47897",
        ),
        ("/src/ggml.c:123: GGML_ASSERT(a == b) failed\n", "/src/ggml.c:123: GGML_ASSERT(a == b) failed"),
        ("error: invalid argument: --what\n", "invalid argument: --what"),
        ("ModuleNotFoundError: No module named 'xllamacpp'\n", "No module named 'xllamacpp'"),
        (AFTERMATH, "Failed to init server, please check the input params."),
        ("0.00.007.317 I srv          init: listening on http://127.0.0.1:36557\n", ""),
        ("", ""),
    ],
    ids=[
        "architecture",
        "magic",
        "port",
        "assert",
        "argument",
        "module",
        "no reason",
        "no failure",
        "nothing",
    ],
)
def test_the_reason_is_found(log: str, reason: str) -> None:
    assert explain(log) == reason


def test_a_reason_is_one_line_of_bounded_length() -> None:
    assert len(explain("0.00.001.000 E x: " + "y" * 5000)) <= 301
