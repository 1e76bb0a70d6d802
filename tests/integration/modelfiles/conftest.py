"""Real llama.cpp processes."""

import http.client
import json
import subprocess
import sys
from contextlib import contextmanager

import pytest

_SERVER = """
import os, sys, threading, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.hostnames = ["127.0.0.1"]
params.port = 0
params.n_ctx = 512
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.warmup = False
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
os._exit(0)
"""


@contextmanager
def serving(path):
    """Serves a GGUF with llama.cpp; gives a function from prompt to greedy answer."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={"GGML_NO_BACKTRACE": "1"},
    )  # fmt: skip
    with process:
        try:
            address = process.stdout.readline().strip()
            assert address, process.stderr.read()[-2000:]
            yield lambda prompt: ask(address.removeprefix("http://"), prompt)
        finally:
            process.kill()


def ask(address, prompt):
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        body = json.dumps({"prompt": prompt, "max_tokens": 60, "temperature": 0})
        connection.request("POST", "/v1/completions", body, {"content-type": "application/json"})
        choice = json.load(connection.getresponse())["choices"][0]
    finally:
        connection.close()
    return choice["text"].strip(), choice["finish_reason"]


@pytest.fixture
def llama_cpp():
    return serving
