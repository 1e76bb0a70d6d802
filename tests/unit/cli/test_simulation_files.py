"""Fleets and models as people write them, and what they are told of their mistakes."""

import io
import sys
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict

from moorage.common.v1.engine_pb2 import EngineKind
from moorage.registry.v1.artifact_pb2 import CopyState
from moorage.registry.v1.model_pb2 import PlacementStrategy
from moorage.registry.v1.worker_pb2 import AcceleratorKind, CpuArchitecture, OperatingSystem
from moorage.scheduler.v1.simulation_pb2 import SimulatePlacementRequest
from moorage_cli.failures import exit_code
from moorage_cli.simulation.files import STDIN, read_files
from moorage_cli.simulation.mistakes import FileInvalid
from moorage_common.core.errors import FieldViolation, InvalidArgument

GIB = 2**30
MODEL = "models: [{name: m, sizes: {weights: 1GB}}]\n"


def read(tmp_path: Path, *texts: str | bytes) -> SimulatePlacementRequest:
    paths = []
    for position, text in enumerate(texts):
        paths.append(tmp_path / f"{position}.yaml")
        paths[-1].write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_files(paths)[0]


def mistakes(tmp_path: Path, *texts: str | bytes) -> list[str]:
    with pytest.raises(FileInvalid) as refused:
        read(tmp_path, *texts)
    assert exit_code(refused.value) == 2
    return [
        f"{violation.field.removeprefix(f'{tmp_path}/')}: {violation.description}"
        for violation in refused.value.violations
    ]


def test_a_fleet_as_people_write_it(tmp_path: Path) -> None:
    request = read(
        tmp_path,
        """
x-rack: &rack {ram: 512GiB, labels: {zone: a}}
workers:
  - <<: *rack
    name: gpu-01
    gpus: 2 x L40S
    engines: [vllm 0.11, llama.cpp]
    artifacts: [artifacts/abc, {artifact: artifacts/def, state: fetching, done: 3GiB}]
    ram_reserved: 2 GiB
    ram_foreign: 1.5GB
    disk_free: 1TB
    network_speed: 25Gbit/s
    ram_speed: 300GB/s
  - {name: mac, os: macOS, arch: arm64, unified_memory: yes, ram: 192GB, gpus: [M2 Ultra], cordoned: true}
  - name: mixed
    state: not_ready
    ram: 1TiB
    gpus:
      - {product: H100, count: 2, memory: 80GiB, reserved: 1GiB, foreign: 2GB, kind: cuda, index: 4}
      - MI300X
instances:
  - name: llama/1
    engine: vllm
    worker: gpu-01
    subordinates: mixed
    holds: {cuda-0: 40GiB, ram: 2GiB, mixed/cuda-4: 3GiB}
  - {name: models/q/instances/2, worker: workers/gpu-01, holds: [{pool: cuda-1, size: 1GiB}]}
policy: {strategy: binpack, weights: {spread: 2.5}}
seed: 007
"""
        + MODEL,
    )
    first, mac, mixed = request.workers
    assert first.name == "workers/gpu-01"
    assert (first.ram_total_bytes, first.labels["zone"]) == (512 * GIB, "a")
    assert [(card.product, card.HasField("index")) for card in first.accelerators] == [("L40S", False)] * 2
    assert [(each.kind, each.version) for each in first.engines] == [
        (EngineKind.ENGINE_KIND_VLLM, "0.11"),
        (EngineKind.ENGINE_KIND_LLAMA_CPP, ""),
    ]
    assert AcceleratorKind.ACCELERATOR_KIND_ROCM in first.engines[0].accelerator_kinds
    assert [(each.artifact, each.state, each.done_bytes) for each in first.artifacts] == [
        ("artifacts/abc", CopyState.COPY_STATE_UNSPECIFIED, 0),
        ("artifacts/def", CopyState.COPY_STATE_FETCHING, 3 * GIB),
    ]
    assert (first.ram_reserved_bytes, first.ram_foreign_bytes) == (2 * GIB, 1_500_000_000)
    assert first.disk_free_bytes == 10**12
    assert (first.network_bytes_per_s, first.ram_bytes_per_s) == (3_125_000_000, 300 * 10**9)
    assert mac.operating_system == OperatingSystem.OPERATING_SYSTEM_DARWIN
    assert mac.cpu_architecture == CpuArchitecture.CPU_ARCHITECTURE_AARCH64
    assert mac.unified_memory
    assert mac.cordoned
    assert not mac.HasField("disk_free_bytes")
    assert [(card.product, card.index, card.memory_total_bytes) for card in mixed.accelerators] == [
        ("H100", 4, 80 * GIB),
        ("H100", 5, 80 * GIB),
        ("MI300X", 0, 0),
    ]
    llama, other = request.instances
    assert (llama.name, llama.worker) == ("models/llama/instances/1", "workers/gpu-01")
    assert list(llama.subordinates) == ["workers/mixed"]
    assert [(claim.worker, claim.pool, claim.size_bytes) for claim in llama.claims] == [
        ("", "cuda-0", 40 * GIB),
        ("", "ram", 2 * GIB),
        ("workers/mixed", "cuda-4", 3 * GIB),
    ]
    assert (other.name, other.claims[0].pool) == ("models/q/instances/2", "cuda-1")
    assert request.policy.strategy == PlacementStrategy.PLACEMENT_STRATEGY_BINPACK
    assert request.policy.weights["spread"] == 2.5
    assert request.seed == "007"


def test_workers_are_written_once_and_counted(tmp_path: Path) -> None:
    request = read(
        tmp_path,
        "workers: [{name: a, ram: 1GB, count: 3, gpus: [{product: H100, count: 8}]},"
        " {name: b, ram: 1GB, count: 1}]\n" + MODEL,
    )
    assert [worker.name for worker in request.workers] == [
        "workers/a-1",
        "workers/a-2",
        "workers/a-3",
        "workers/b-1",
    ]
    assert [len(worker.accelerators) for worker in request.workers] == [8, 8, 8, 0]


def test_a_model_as_people_write_it(tmp_path: Path) -> None:
    request = read(
        tmp_path,
        """
name: deepseek
replicas: 2
engine: llama.cpp
engine_version: 1.10
placement:
  workers: gpu-1
  labels: {nvlink: true}
  gpus: [gpu-1/cuda:0, gpu-2/GPU-5e]
  gpus_per_replica: 1
  primary: gpu-1
  strategy: spread
sizes:
  block_weights: 61 x 3.2GB
  block_kv: [60 x 10MB, 5MB]
  output: 900MB
llama_cpp: {context_length: 8_192, gpu_layers: 0, kv_cache_type: q8_0}
""",
    )
    (model,) = request.models
    assert model.name == "models/deepseek"
    assert model.engine_version == "1.10"
    assert list(model.sizes.block_weight_bytes) == [3_200_000_000] * 61
    assert list(model.sizes.block_kv_bytes) == [10_000_000] * 60 + [5_000_000]
    assert model.llama_cpp.HasField("gpu_layers")
    assert MessageToDict(model.placement, preserving_proto_field_name=True) == {
        "workers": ["workers/gpu-1"],
        "worker_labels": {"nvlink": "true"},
        "strategy": "PLACEMENT_STRATEGY_SPREAD",
        "gpus": [
            {"worker": "workers/gpu-1", "position": {"kind": "ACCELERATOR_KIND_CUDA"}},
            {"worker": "workers/gpu-2", "uuid": "GPU-5e"},
        ],
        "gpus_per_replica": 1,
        "primary_worker": "workers/gpu-1",
    }


def test_a_model_is_called_what_its_source_is(tmp_path: Path) -> None:
    request = read(tmp_path, "source: hf:org/Tiny-GGUF/q4.gguf\n---\nname: b\nknown_artifact: abc\n")
    assert [(each.name, each.WhichOneof("facts_from")) for each in request.models] == [
        ("models/tiny-gguf", "source"),
        ("models/b", "known_artifact"),
    ]
    assert request.models[1].known_artifact == "artifacts/abc"


def test_facts_are_written_as_the_api_shows_them(tmp_path: Path) -> None:
    request = read(
        tmp_path,
        """
name: m
facts:
  gguf:
    architecture: llama
    block_count: 2
    block_bytes: ["1000", "1000"]
    head_counts: 2 x 32
    tied_embedding: true
    category: MODEL_CATEGORY_LLM
""",
    )
    gguf = request.models[0].facts.gguf
    assert list(gguf.block_bytes) == [1000, 1000]
    assert list(gguf.head_counts) == [32, 32]
    assert gguf.tied_embedding
    assert gguf.category == 1


def test_files_add_up(tmp_path: Path) -> None:
    first, second = "workers: [{name: a, ram: 1GB}]", "workers: [{name: b, ram: 1GB}]\nseed: x"
    request = read(tmp_path, first, second, "name: m\nsizes: {weights: 1GB}")
    assert [each.name for each in request.workers] == ["workers/a", "workers/b"]
    assert request.models[0].sizes.weight_bytes == 10**9


def test_standard_input_is_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(MODEL.encode())))
    assert read_files([STDIN])[0].models[0].name == "models/m"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"modles: []")))
    with pytest.raises(FileInvalid) as refused:
        read_files([STDIN])
    assert refused.value.violations[0].field == "standard input:1:1: modles"


def test_every_mistake_is_told_at_once_with_its_place_and_what_would_be_right(tmp_path: Path) -> None:
    told = mistakes(
        tmp_path,
        """
workers:
  - nam: x
    ram: 48G
    gpus: 0 x L40S
    os: beos
  - name: Bad Name
    ram: -1
    cordoned: maybe
    gpus:
      - {product: H100, count: 2, uuid: GPU-1}
      - 8
    labels: [a]
  - name: ok
    ram:
    ram_total_bytes: 5GiB
    name: twice
    network_speed: 25Gb/s
  - just words
  - {name: counted, ram: 1GB, count: 0}
instances:
  - {name: llama, holds: {cuda-0: many}}
modles: []
models:
  - source: hf:a/b/c.gguf
    facts: {}
  - name: y
  - {name: z, sizes: {block_weights: 61 x 3.2, hidden_size: -3}, replicas: 99999999999}
  - {name: v, sizes: {}, vllm: {gpu_memory_utilization: 1.5}, placement: {gpus: gpu-1}}
seed: 1
---
seed: 2
""",
    )
    assert told == [
        "0.yaml:3:5: workers[0].nam: is unknown; did you mean name?",
        "0.yaml:3:5: workers[0].name: is missing",
        "0.yaml:4:10: workers[0].ram: '48G' is no size; write it as in 48GiB, 50GB, or in bytes",
        "0.yaml:5:11: workers[0].gpus: '0 x L40S' is not 1 to 20,000 of something",
        "0.yaml:6:9: workers[0].os: 'beos' is none of linux, darwin, windows",
        (
            "0.yaml:7:11: workers[1].name: an id is 1 to 63 of a-z, 0-9, dots and hyphens,"
            " and begins and ends with a letter or digit"
        ),
        "0.yaml:8:10: workers[1].ram: '-1' is no size; write it as in 48GiB, 50GB, or in bytes",
        "0.yaml:9:15: workers[1].cordoned: 'maybe' is neither true nor false",
        "0.yaml:11:9: workers[1].gpus[0]: each card has a uuid of its own: write them one by one",
        "0.yaml:12:9: workers[1].gpus[1]: '8' says not of what; write it as in 2 x L40S",
        "0.yaml:13:13: workers[1].labels: must be a mapping, as in {zone: a}",
        "0.yaml:15:9: workers[2].ram: has no value: give one, or leave it out",
        "0.yaml:16:5: workers[2].ram_total_bytes: is called ram here",
        "0.yaml:17:5: workers[2].name: is given already, in line 14",
        "0.yaml:18:20: workers[2].network_speed: '25Gb/s' is no rate; write it as in 300GB/s or 25Gbit/s",
        (
            "0.yaml:19:5: workers[3]: must be a mapping, of name, state, cordoned, draining, maintenance, os, arch,"
            " labels, gpus, engines, unified_memory, ram, ram_reserved, ram_foreign, disk_free and 4 more"
        ),
        "0.yaml:20:38: workers[4].count: must be 1 to 20,000",
        "0.yaml:22:12: instances[0].name: 'llama' is no name of an instance; write it as in llama/1",
        "0.yaml:22:35: instances[0].holds.cuda-0: 'many' is no size; write it as in 48GiB, 50GB, or in bytes",
        "0.yaml:23:1: modles: is unknown; did you mean models?",
        "0.yaml:26:5: models[0].facts: cannot be given beside source",
        "0.yaml:27:5: models[1]: must have one of source, known_artifact, facts, sizes",
        "0.yaml:28:61: models[2].sizes.hidden_size: must be greater than or equal to 0",
        "0.yaml:28:76: models[2].replicas: Value out of range: 99999999999",
        (
            "0.yaml:29:57: models[3].vllm.gpu_memory_utilization: must be greater than or equal to 0"
            " and less than or equal to 1"
        ),
        (
            "0.yaml:29:81: models[3].placement.gpus: 'gpu-1' names no card;"
            " write it as in gpu-01/cuda:0, or with the card's UUID"
        ),
        f"0.yaml:32:7: seed: is given already, in {tmp_path}/0.yaml:30:7",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("workers: [a\n", "0.yaml:2:1: not YAML: did not find"),
        ("workers:\n\t- a", "0.yaml:2:1: not YAML: found character"),
        (b"seed: \xff\xfe", "0.yaml:1:7: not YAML: invalid leading UTF-8 octet"),
        ("seed: *a", "0.yaml:1:7: there is no &a before this; there is none"),
        ("x-a: &a [*a]", "0.yaml:1:10: *a stands within what it stands for"),
        ("[" * 10_000, "0.yaml:1:51: nested deeper than 50 levels"),
        ("[]", "0.yaml:1:1: must be a mapping, of workers, instances, models, policy, seed"),
        ("? [a]\n: b", "0.yaml:1:3: a key must be a word"),
        (
            "workers: [{<<: a, name: b, ram: 1GB}]",
            "0.yaml:1:16: workers[0].<<: takes a mapping, as in <<: *usual",
        ),
        ("policy: {weights: {spread: much}}", "0.yaml:1:28: policy.weights.spread: 'much' is no number"),
        ("policy: {weights: {spread: .nan}}", "0.yaml:1:28: policy.weights.spread: '.nan' is no number"),
        ("seed: [1]", "0.yaml:1:7: seed: must be a single word or number"),
    ],
)
def test_what_nobody_could_mean_is_told_with_its_place(tmp_path: Path, text: str | bytes, told: str) -> None:
    assert mistakes(tmp_path, text)[0].startswith(told)


def test_what_repeats_itself_without_end_is_refused_in_a_moment(tmp_path: Path) -> None:
    lines = ["x-0: &a0 [a, a, a, a, a, a, a, a, a, a]"]
    lines += [f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (told,) = mistakes(tmp_path, "\n".join(lines))
    assert "more than 20,000,000 entries" in told


def test_a_mistake_made_a_thousand_times_is_not_listed_a_thousand_times(tmp_path: Path) -> None:
    with pytest.raises(FileInvalid, match=r"1000 mistakes in .*; the first 100 are these") as refused:
        read(tmp_path, "workers:\n" + "  - {name: a, ram: 1GB, colour: red}\n" * 1000)
    assert len(refused.value.violations) == 100


def test_what_is_written_once_is_wrong_once(tmp_path: Path) -> None:
    usual = "x-usual: &usual {ram: 1 ton}\n"
    workers = "workers: [{<<: *usual, name: a}, {<<: *usual, name: b}]"
    assert mistakes(tmp_path, usual + workers) == [
        "0.yaml:1:23: workers[1].ram: '1 ton' is no size; write it as in 48GiB, 50GB, or in bytes"
    ]


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(FileInvalid, match=r"cannot read .*/none.yaml: No such file") as refused:
        read_files([tmp_path / "none.yaml"])
    assert exit_code(refused.value) == 2


def test_what_the_scheduler_says_of_the_request_is_said_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(
        "workers:\n- name: a\n  count: 3\n  gpus:\n  - {product: X, count: 4,\n     memory: 1GB}\n  ram: 1GB\n"
        "models:\n- {name: m, sizes: {block_weights: 3 x 1GB}, placement: {labels: {z: a}}}\n"
    )
    _, places = read_files([path])

    def located(field: str) -> str:
        error = places.located(InvalidArgument("", violations=[FieldViolation(field, "is wrong")]))
        assert isinstance(error, FileInvalid)
        return error.violations[0].field.removeprefix(f"{path}:")

    assert located("workers[2].accelerators[3].memory_total_bytes") == "6:14: workers[0].gpus[0].memory"
    assert located("workers[1].accelerators[0]") == "5:5: workers[0].gpus[0]"
    assert located("workers[2].ram_total_bytes") == "7:8: workers[0].ram"
    assert located("workers[2].disk_free_bytes") == "2:3: workers[0]"
    assert located("models[0].sizes.block_weight_bytes[2]") == "9:36: models[0].sizes.block_weights"
    assert located('models[0].placement.worker_labels["z"]') == "9:70: models[0].placement.labels.z"
    more = InvalidArgument(
        "", violations=[FieldViolation("models[0].name", "is taken"), FieldViolation("…", "and 7 more")]
    )
    assert places.located(more).violations[1] == FieldViolation("…", "and 7 more")
    elsewhere = InvalidArgument("no", violations=[FieldViolation("workers[3].name", "is wrong")])
    assert places.located(elsewhere) is elsewhere
