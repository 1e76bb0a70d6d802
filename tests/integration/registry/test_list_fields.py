"""Every declared field of every list, asked on real rows: one that has everything, one that has as little as it can."""

from types import SimpleNamespace

import pytest
from listed_rows import insert_everything

from moorage_registry.store import listing, schema
from moorage_registry.store.fields.audit import AUDIT_FIELDS
from moorage_registry.store.listing import Listing
from moorage_registry.store.lists import (
    ARTIFACT_LIST,
    COPY_LIST,
    DOWNLOAD_LIST,
    INSTANCE_LIST,
    MODEL_LIST,
    WORKER_LIST,
)

AUDIT_LIST = Listing(
    columns=[schema.audit_records.c.actor],
    make=lambda values: SimpleNamespace(uid="uid-new" if values[0] else "uid-old"),
    key=[schema.audit_records.c.id],
    fields=AUDIT_FIELDS,
    default_order="name desc",
)

T1, T2, T3, T4 = (f'"2026-01-01T0{hour}:00:00Z"' for hour in (1, 2, 3, 4))
MORNING = '"2026-01-01"'

COMMON = {
    "uid": ["uid = uid-new", 'uid = "*-new"', 'uid < "uid-o"'],
    "version": ["version = 7", "version > 1", "version != 1", "version >= 2"],
    "create_time": [
        f"create_time = {T1}",
        f"create_time > {MORNING}",
        "create_time > 2026-01-01T01:30:00+01:00",
    ],
    "update_time": [f"update_time = {T2}", f"-update_time <= {T1}"],
}


def error(field):
    return {
        field: [f"{field}:*"],
        f"{field}.code": [f"{field}.code = 8", f"{field}.code > 0", f"{field}.code != 9 AND {field}:*"],
        f"{field}.message": [f'{field}.message = "the disk is 100% full"', f'{field}.message = "*100% f*"'],
        f"{field}.details.reason": [f"{field}.details.reason:DISK_FULL", f"{field}.details.reason:*_FULL"],
    }


CASES = {
    "workers": (WORKER_LIST, COMMON | {
        "name": ["name = workers/full", 'name = "workers/f*"', "name != workers/bare", "name = *full"],
        "labels": ['labels.zone = "a"', "labels:zone", "labels.zone:*", "labels.zone:a", "labels:*",
                   'labels.zone = "*"',
                   'labels."topology.example/rack" = "r 7"', 'labels."topology.example/rack" = "*7"',
                   "labels.AND = 1", 'labels.zone < "b"', "labels:empty", 'labels.empty = ""',
                   'labels.zone != "b" AND labels:zone', 'NOT labels.zone != "a"'],
        "state": ["state = READY", "state = WORKER_STATE_READY", "state != NOT_READY", "state:READY"],
        "cordoned": ["cordoned = true", "cordoned != false", "cordoned:*"],
        "facts.node_id": ["facts.node_id = node-full"],
        "facts.hostname": ["facts.hostname = berth.example", 'facts.hostname = "*.example"', 'facts.hostname != ""'],
        "facts.operating_system": ["facts.operating_system = LINUX", "facts.operating_system:*",
                                   "facts.operating_system = OPERATING_SYSTEM_LINUX"],
        "facts.cpu_architecture": ["facts.cpu_architecture = AARCH64", "NOT facts.cpu_architecture != AARCH64"],
        "facts.cpu_cores": ["facts.cpu_cores = 72", "facts.cpu_cores >= 2"],
        "facts.ram_total_bytes": ["facts.ram_total_bytes = 1099511627776", "facts.ram_total_bytes > 1"],
        "facts.ram_reserved_bytes": ["facts.ram_reserved_bytes = 1073741824", "facts.ram_reserved_bytes != 0"],
        "facts.accelerators.uuid": ["facts.accelerators.uuid:GPU-1", "facts.accelerators.uuid:GPU-*"],
        "facts.accelerators.kind": ["facts.accelerators.kind:CUDA", "facts.accelerators.kind:ACCELERATOR_KIND_CUDA",
                                    "facts.accelerators.kind:*"],
        "facts.accelerators.product": ['facts.accelerators.product:"NVIDIA L40S"', "facts.accelerators.product:*L40*"],
        "facts.unified_memory": ["facts.unified_memory = true"],
        "facts.engines.kind": ["facts.engines.kind:LLAMA_CPP"],
        "facts.engines.version": ["facts.engines.version:b6*"],
        "facts.agent_address": ['facts.agent_address = "10.0.0.7:7603"', "facts.agent_address = 10.0.0.7:7603"],
        "facts.agent_version": ['facts.agent_version = "0.1.0"', "facts.agent_version:*"],
        "facts.cpu_product": ['facts.cpu_product = "AMD EPYC*"', "facts.cpu_product:*"],
        "ram.total_bytes": ["ram.total_bytes = 1000"],
        "ram.reserved_bytes": ["ram.reserved_bytes = 100"],
        "ram.claimed_bytes": ["ram.claimed_bytes = 300"],
        "ram.foreign_bytes": ["ram.foreign_bytes = 50"],
        "ram.available_bytes": ["ram.available_bytes = 550", "ram.available_bytes < 551"],
        "storage": ["storage:*"],
        "storage.capacity_bytes": ["storage.capacity_bytes = 4398046511104"],
        "storage.free_bytes": ["storage.free_bytes > 2000000000000", "storage.free_bytes > -1"],
        "storage.artifact_bytes": ["storage.artifact_bytes = 0", "storage.artifact_bytes < 1"],
        "drain": ["drain:*"],
        "drain.start_time": [f"drain.start_time = {T3}", f"drain.start_time < {T4}", "drain.start_time:*"],
        "drain.complete_time": [f"drain.complete_time = {T4}", f"drain.complete_time > {T3}"],
    }),
    "models": (MODEL_LIST, COMMON | error("resolution.error") | {
        "name": ["name = models/full", 'name = "*full"'],
        "delete_time": [f"delete_time = {T3}", "delete_time:*", f"delete_time < {T4}"],
        "labels": ["labels.team = berth", "labels:team", 'labels.tier = "100%"', 'labels.tier = "*0%"'],
        "source": ['source = "hf:acme/tiny/model.gguf"', "source = hf:*", 'source = "*/tiny/*"', 'source > "g"'],
        "engine": ["engine = LLAMA_CPP", "engine:*", "engine = ENGINE_KIND_LLAMA_CPP"],
        "llama_cpp.context_length": ["llama_cpp.context_length = 4096", "llama_cpp.context_length < 5000"],
        "llama_cpp.parallel_slots": ["llama_cpp.parallel_slots = 4"],
        "llama_cpp.gpu_layers": ["llama_cpp.gpu_layers = 0"],
        "llama_cpp.kv_cache_type": ["llama_cpp.kv_cache_type = Q8_0", "llama_cpp.kv_cache_type:*"],
        "llama_cpp.threads": ["llama_cpp.threads = 16"],
        "llama_cpp.forbid_cpu_offload": ["llama_cpp.forbid_cpu_offload = true"],
        "llama_cpp.flash_attention": ["llama_cpp.flash_attention = OFF", "llama_cpp.flash_attention:*"],
        "llama_cpp.micro_batch_size": ["llama_cpp.micro_batch_size = 256"],
        "llama_cpp.unified_kv_cache": ["llama_cpp.unified_kv_cache = true"],
        "llama_cpp.forbid_mmap": ["llama_cpp.forbid_mmap = true", "llama_cpp.forbid_mmap:*"],
        "engine_version": ['engine_version = ">=6000,<7000"', 'engine_version = ">=*"', "engine_version:*"],
        "category": ["category = RERANKER", "category = MODEL_CATEGORY_RERANKER", "category:*"],
        "vllm.gpu_memory_utilization": ["vllm.gpu_memory_utilization = 0.85", "vllm.gpu_memory_utilization > 8.4e-1",
                                        "vllm.gpu_memory_utilization <= +1", "vllm.gpu_memory_utilization:*",
                                        "vllm.gpu_memory_utilization >= 0"],
        "vllm.max_model_len": ["vllm.max_model_len = 8192"],
        "vllm.tensor_parallel_size": ["vllm.tensor_parallel_size = 2"],
        "vllm.pipeline_parallel_size": ["vllm.pipeline_parallel_size > 2"],
        "vllm.data_parallel_size": ["vllm.data_parallel_size = 4"],
        "vllm.dtype": ["vllm.dtype = BF16", "vllm.dtype = VLLM_DTYPE_BF16"],
        "vllm.kv_cache_dtype": ["vllm.kv_cache_dtype = FP8", "vllm.kv_cache_dtype:*"],
        "vllm.max_num_seqs": ["vllm.max_num_seqs < 65"],
        "vllm.max_num_batched_tokens": ["vllm.max_num_batched_tokens = 4096"],
        "vllm.enforce_eager": ["vllm.enforce_eager = true"],
        "vllm.text_only": ["vllm.text_only:*"],
        "vllm.host_kv_cache_bytes": ["vllm.host_kv_cache_bytes = 8589934592"],
        "replicas": ["replicas = 3", "replicas > 1", "replicas:*", "replicas != 0"],
        "placement.workers": ["placement.workers:workers/gpu-07", 'placement.workers:"workers/gpu-*"',
                              "placement.workers:*"],
        "placement.worker_labels": ["placement.worker_labels.zone = a", "placement.worker_labels:zone",
                                    "placement.worker_labels:*"],
        "placement.strategy": ["placement.strategy = SPREAD", "placement.strategy:*"],
        "placement.gpus.worker": ["placement.gpus.worker:workers/gpu-07", 'placement.gpus.worker:"workers/gpu-*"',
                                  "placement.gpus.worker:*"],
        "placement.gpus.uuid": ["placement.gpus.uuid:GPU-0", "placement.gpus.uuid:GPU-*", "placement.gpus.uuid:*"],
        "placement.gpus_per_replica": ["placement.gpus_per_replica = 2", "placement.gpus_per_replica:*"],
        "placement.primary_worker": ["placement.primary_worker = workers/gpu-07", "placement.primary_worker:*",
                                     'placement.primary_worker = "*-07"'],
        "placement.forbid_distributed": ["placement.forbid_distributed = true"],
        "desired_state": ["desired_state = RUNNING", "desired_state != STOPPED"],
        "resolution.state": ["resolution.state = RESOLVED", "resolution.state:RESOLVED"],
        "resolution.artifact": ["resolution.artifact = artifacts/full", 'resolution.artifact != ""',
                                "resolution.artifact:*", "resolution.artifact = artifacts/f*"],
    }),
    "instances": (INSTANCE_LIST, COMMON | error("error") | {
        "name": ['name = "models/full/instances/*"', "name = models/full/instances/a1",
                 "name != models/bare/instances/b2",
                 'name = "*/a1"', 'name = "models/f*"'],
        "state": ["state = RUNNING", "state = INSTANCE_STATE_RUNNING"],
        "state_time": [f"state_time = {T2}", f"state_time > {MORNING}"],
        "worker": ["worker = workers/full", "worker:*", 'worker != ""', 'worker = "workers/*"', 'NOT worker = ""'],
        "subordinates": ["subordinates:workers/bare", 'subordinates:"workers/b*"', "subordinates:*"],
        "last_worker": ["last_worker = workers/bare", "last_worker:*"],
        "placement": ["placement:*"],
        "placement.gpu_layers": ["placement.gpu_layers = 20"],
        "placement.total_layers": ["placement.total_layers > 20"],
        "placement.context_length": ["placement.context_length = 4096"],
        "placement.score": ["placement.score = 1.5", "placement.score > 1", "placement.score != 2 AND placement:*"],
        "placement.engine": ["placement.engine = VLLM", "placement.engine = ENGINE_KIND_VLLM"],
        "placement.engine_version": ['placement.engine_version = "0.32.0"', 'placement.engine_version = "0.*"'],
        "placement.mode": ["placement.mode = DISTRIBUTED", "placement.mode:*"],
        "placement.parallel.tensor": ["placement.parallel.tensor = 2"],
        "placement.parallel.pipeline": ["placement.parallel.pipeline >= 3"],
        "placement.parallel.data": ["placement.parallel.data = 4"],
        "placement.predicted.decode_tokens_per_s": ["placement.predicted.decode_tokens_per_s = 3.5",
                                                    "placement.predicted.decode_tokens_per_s < 3.51"],
        "explanation.verdict": ["explanation.verdict = PLACED", "explanation.verdict = VERDICT_PLACED"],
        "explanation.summary": ['explanation.summary = "It fits*"'],
        "explanation.workers_considered": ["explanation.workers_considered = 2"],
        "endpoint": ["endpoint:*", 'endpoint = "http://10.0.0.7:*"', 'endpoint != ""'],
        "restart_count": ["restart_count = 5", "restart_count > 2"],
        "retiring": ["retiring = true"],
        "generation": ["generation = 9"],
        "performance": ["performance:*"],
        "performance.decode_tokens_per_s": ["performance.decode_tokens_per_s > 41"],
        "performance.prefill_tokens_per_s": ["performance.prefill_tokens_per_s = 512.5"],
        "performance.concurrent_requests": ["performance.concurrent_requests >= 1.25"],
        "performance.generated_tokens": ["performance.generated_tokens > 4999"],
        "performance.prompt_tokens": ["performance.prompt_tokens = 70000"],
        "performance.request_count": ["performance.request_count = 0", "performance.request_count < 1"],
        "performance.last_activity_time": [f"performance.last_activity_time = {T3}",
                                           f"performance.last_activity_time > {MORNING}"],
        "evicting": ["evicting = true", "-evicting = false"],
    }),
    "artifacts": (ARTIFACT_LIST, COMMON | error("pull.error") | {
        "name": ["name = artifacts/full"],
        "source": ['source = "*@c0ffee*"'],
        "revision": ["revision = c0ffee", "revision:*"],
        "files.path": ["files.path:more", "files.path:*.gguf", "files.path:*"],
        "files.sha256": [f"files.sha256:{'ab' * 32}", "files.sha256:abab*"],
        "entry_point": ["entry_point = a/model.gguf"],
        "size_bytes": ["size_bytes = 10", "size_bytes > 9"],
        "facts.gguf.architecture": ["facts.gguf.architecture = llama"],
        "facts.gguf.model_name": ["facts.gguf.model_name = Tiny"],
        "facts.gguf.parameter_count": ["facts.gguf.parameter_count >= 7000000000"],
        "facts.gguf.quantization": ["facts.gguf.quantization = Q4*"],
        "facts.gguf.block_count": ["facts.gguf.block_count = 32"],
        "facts.gguf.context_length": ["facts.gguf.context_length = 8192", "facts.gguf.context_length < 9000"],
        "facts.gguf.expert_count": ["facts.gguf.expert_count != 0 AND facts.gguf.expert_count:*"],
        "facts.safetensors.architecture": ["NOT facts.safetensors.architecture = Qwen3*"],
        "facts.safetensors.model_type": ["NOT facts.safetensors.model_type = qwen3"],
        "facts.safetensors.parameter_count": ["NOT facts.safetensors.parameter_count > 8000000000"],
        "facts.safetensors.quantization": ["NOT facts.safetensors.quantization = fp8"],
        "facts.safetensors.block_count": ["NOT facts.safetensors.block_count = 36"],
        "facts.safetensors.context_length": ["NOT facts.safetensors.context_length >= 32768"],
        "facts.safetensors.expert_count": ["NOT facts.safetensors.expert_count = 128"],
        "facts.safetensors.category": ["NOT facts.safetensors.category = LLM"],
        "pull.state": ["pull.state = PULLING", "pull.state != IDLE"],
        "pull.address": ["pull.address = 10.0.0.1:7602"],
        "pull.done_bytes": ["pull.done_bytes = 4"],
        "pull.bytes_per_second": ["pull.bytes_per_second > 0"],
    }),
    "copies": (COPY_LIST, COMMON | error("error") | {
        "name": ["name = artifacts/full/copies/full", 'name = "*/copies/full"', 'name = "artifacts/full/*"'],
        "artifact": ["artifact = artifacts/full"],
        "worker": ["worker = workers/full", "worker != workers/bare"],
        "state": ["state = FAILED"],
        "done_bytes": ["done_bytes = 4"],
        "size_bytes": ["size_bytes >= 10"],
        "bytes_per_second": ["bytes_per_second = 2"],
    }),
    "downloads": (DOWNLOAD_LIST, COMMON | error("error") | {
        "name": ["name = downloads/full"],
        "source": ["source = hf:*"],
        "workers": ["workers:workers/full", 'workers:"workers/full" AND workers:workers/bare', "workers:workers/*",
                    "workers:*"],
        "state": ["state = FAILED", "state = DOWNLOAD_STATE_FAILED"],
        "artifact": ["artifact = artifacts/full", "artifact:*"],
    }),
    "audit records": (AUDIT_LIST, {
        "name": ["name = auditRecords/2", "name != auditRecords/1"],
        "time": [f"time > {MORNING}", f"time = {T1}"],
        "actor": ["actor = ada"],
        "peer": ['peer = "ipv4:10.0.0.5:*"'],
        "user_agent": ["user_agent = moor/*"],
        "method": ['method = "*/StopModel"'],
        "resource": ["resource = models/llama3", 'resource = "models/*"'],
        "call_id": ["call_id = call-1"],
        "request_id": ["request_id = request-1", "request_id:*"],
        "changed_fields": ["changed_fields:replicas", "changed_fields:*"],
    }),
}  # fmt: skip

FALLING = {(name, "uid") for name in CASES} | {
    ("models", "desired_state"), ("models", "resolution.state"), ("artifacts", "entry_point"), ("downloads", "state"),
    *(("artifacts", field) for field in ARTIFACT_LIST.fields.types if field.startswith("facts.safetensors.")),
}  # fmt: skip
"""Fields in which the row that has everything comes before the other; what is absent comes first elsewhere."""


def request(**fields):
    return SimpleNamespace(**({"page_size": 0, "page_token": "", "filter": "", "order_by": ""} | fields))


async def uids(connection, listed, **fields):
    found, token = await listing.page(connection, listed, request(**fields), query="test")
    assert not token
    return [row.uid for row in found]


@pytest.fixture
async def rows(store):
    await store.transact(insert_everything)
    return store


@pytest.mark.parametrize("name", CASES)
async def test_every_field_finds_the_rows_that_it_should_and_no_other(rows, name):
    listed, cases = CASES[name]
    assert set(cases) == set(listed.fields.types), "each declared field has its cases here"
    async with rows.read() as connection:
        for field, filters in cases.items():
            for text in filters:
                assert field in text, text
                assert await uids(connection, listed, filter=text) == ["uid-new"], text
                assert await uids(connection, listed, filter=f"NOT ({text})") == ["uid-old"], text


@pytest.mark.parametrize("name", CASES)
async def test_a_condition_or_its_opposite_holds_for_every_row(rows, name):
    """Each row either has a value of the field or has none, also where the whole message around it is absent."""
    listed, _ = CASES[name]
    async with rows.read() as connection:
        for field in listed.fields.types:
            assert await uids(connection, listed, filter=f"{field}:* AND NOT {field}:*") == [], field
            assert len(await uids(connection, listed, filter=f"{field}:* OR NOT {field}:*")) == 2, field


@pytest.mark.parametrize("name", CASES)
async def test_every_sortable_field_orders_both_ways(rows, name):
    listed, _ = CASES[name]
    sortable = [field for field, type_ in listed.fields.types.items() if type_.is_sortable]
    async with rows.read() as connection:
        for field in sortable:
            rising = ["uid-new", "uid-old"] if (name, field) in FALLING else ["uid-old", "uid-new"]
            assert await uids(connection, listed, order_by=field) == rising, field
            assert await uids(connection, listed, order_by=f"{field} desc") == rising[::-1], field


async def test_audit_records_come_newest_first_unless_told_otherwise(rows):
    async with rows.read() as connection:
        assert await uids(connection, AUDIT_LIST) == ["uid-new", "uid-old"]
        assert await uids(connection, AUDIT_LIST, order_by="time") == ["uid-old", "uid-new"]
        assert await uids(connection, AUDIT_LIST, order_by="name") == ["uid-old", "uid-new"]


async def test_pages_follow_the_lists_own_order_where_it_has_one(rows):
    async with rows.read() as connection:
        found, token = await listing.page(connection, AUDIT_LIST, request(page_size=1), query="audit")
        assert [row.uid for row in found] == ["uid-new"]
        found, token = await listing.page(
            connection, AUDIT_LIST, request(page_size=1, page_token=token), query="audit"
        )
        assert ([row.uid for row in found], token) == (["uid-old"], "")
