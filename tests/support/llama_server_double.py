"""A ``llama-server`` for machines that have none: its command line, with the wheel's llama.cpp behind it."""

import argparse
import sys

HELP = """\
----- common params -----
-h,    --help, --usage                  print usage and exit
--cache-ram N                           set the maximum cache size in MiB
-ctxcp, --ctx-checkpoints, --swa-checkpoints N
                                        max number of context checkpoints to create per slot
-kvu,  --kv-unified, -no-kvu, --no-kv-unified
                                        use single unified KV buffer shared across all sequences
-lm,   --load-mode MODE                 model loading mode
"""
DEVICES = """\
Available devices:
  CUDA0: NVIDIA L40S (46068 MiB, 45500 MiB free)
"""


def main() -> None:
    match sys.argv[1:]:
        case ["--version"]:
            print("version: 7042 (abcdef12)\nbuilt with cc for x86_64-linux-gnu")
        case ["--help"]:
            print(HELP)
        case ["--list-devices"]:
            print(DEVICES)
        case arguments:
            serve(arguments)


def serve(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="llama-server", allow_abbrev=False)
    for flag in ("model", "alias", "host", "cache-type-k", "cache-type-v"):
        parser.add_argument(f"--{flag}", required=True)
    for flag in ("port", "ctx-size", "parallel", "threads", "gpu-layers", "cache-ram", "batch-size"):
        parser.add_argument(f"--{flag}", type=int, required=True)
    for flag in ("ubatch-size", "ctx-checkpoints"):
        parser.add_argument(f"--{flag}", type=int, required=True)
    parser.add_argument("--metrics", action="store_true", required=True)
    parser.add_argument("--tensor-split")
    parser.add_argument("--kv-unified", action=argparse.BooleanOptionalAction, required=True)
    parser.add_argument("--load-mode", choices=["none"])
    parser.add_argument("--mmproj")
    parser.add_argument("--flash-attn", choices=["on", "off", "auto"])
    given = parser.parse_args(arguments)
    import signal

    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = given.model
    parameters.model_alias = {given.alias}
    parameters.hostnames = [given.host]
    parameters.port = given.port
    parameters.n_ctx = given.ctx_size
    parameters.n_parallel = given.parallel
    parameters.n_batch, parameters.n_ubatch = given.batch_size, given.ubatch_size
    parameters.kv_unified = given.kv_unified
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = given.threads
    parameters.ui = parameters.warmup = parameters.fit_params = False
    server = xllamacpp.Server(parameters)
    print("main: server is listening on", server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
