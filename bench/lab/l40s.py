"""DeepSeek-R1 on two workers, one with two L40S cards and one with one: which of them should lead?

Measured on such workers (GPUStack, llama.cpp over RPC, UD-IQ2_XXS with 196 GB of weights, context 8192): 3.5 tokens a
second when the worker with two cards leads, 1.5 when the other does. What the workers' RAM and network were is not
known; both are taken to have what is usual.
"""

from dataclasses import dataclass

from moorage.common.v1 import model_facts_pb2
from moorage_common.core.placement import CpuArchitecture, OperatingSystem
from moorage_common.core.states import AcceleratorKind, EngineKind
from moorage_scheduler.convert.models import facts_from_proto
from moorage_scheduler.core.cluster import RAM, Accelerator, Condition, Engine, Worker
from moorage_scheduler.core.fleet import Fleet
from moorage_scheduler.core.pipeline import place
from moorage_scheduler.core.policy import ScoringPolicy
from moorage_scheduler.core.request import Facts, LlamaCppOptions, Placement, Request, Selection
from moorage_scheduler.prediction.hardware import WorkerHardware
from moorage_scheduler.prediction.outcome import Prediction
from moorage_scheduler.prediction.predict import Subject, predict
from moorage_scheduler.prediction.shape import shape_of

_MIB, _GIB = 2**20, 2**30
_CARD_BYTES, _RESERVE_BYTES = 46068 * _MIB, _GIB
_RAM_BYTES = 512 * _GIB
_PRODUCT = "NVIDIA L40S"
_CARDS = {"workers/worker1": 2, "workers/worker2": 1}
_MEASURED = {"workers/worker1": 3.5, "workers/worker2": 1.5}
PRIMARIES = tuple(_CARDS)

_BLOCKS, _DENSE_BLOCKS, _EXPERTS, _USED = 61, 3, 256, 8
_HIDDEN, _VOCABULARY, _EXPERT_WIDTH = 7168, 129280, 2048
_FILE_BYTES = 196_000_000_000
_ATTENTION_WEIGHTS = 187_000_000
"""Of one block: latent attention with 128 heads."""
_DENSE_WEIGHTS = 3 * _HIDDEN * 18432
_EXPERT_WEIGHTS = 3 * _HIDDEN * _EXPERT_WIDTH
_BITS, _EMBEDDING_BITS = 5.5, 4.5
"""Of weights that are not of experts, and of the embedding and the head: the recipe leaves them at 4 to 6 bits."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one worker as the primary comes to."""

    placement: Placement
    prediction: Prediction


def predict_l40s(primaries: tuple[str, ...]) -> None:
    """Prints the case."""
    answers = {primary: _answer(primary) for primary in primaries}
    print(f"{'primary':16} {'on GPUs':>8} {'over RPC':>9} {'predicted':>10} {'measured':>9}")
    for primary, answer in answers.items():
        remote = sum(claim.layers for claim in answer.placement.claims if claim.worker != primary)
        print(
            f"{primary:16} {answer.placement.gpu_layers:8} {remote:9}"
            f" {answer.prediction.decode_tokens_per_s:10.2f} {_MEASURED[primary]:9.1f}"
        )
        for stage in answer.prediction.stages:
            where = f"{stage.worker} {stage.pool or 'there and back'}"
            print(f"  {where:34} {stage.active_bytes / 1e6:9.2f} MB {stage.seconds * 1e3:8.2f} ms")
    first, second = (answers[primary].prediction.decode_tokens_per_s for primary in primaries)
    measured = _MEASURED[primaries[0]] / _MEASURED[primaries[1]]
    print(f"ratio: predicted {first / second:.2f}, measured {measured:.2f}")
    if first <= second:
        raise SystemExit("the worker with two cards should lead, and is not predicted to be faster")


def _answer(primary: str) -> Answer:
    facts = _facts()
    options = LlamaCppOptions(context_length=8192)
    request = Request(
        model="models/deepseek-r1",
        seed="l40s",
        facts=facts,
        artifact="artifacts/deepseek-r1",
        options=options,
        selection=Selection(primary_worker=primary),
    )
    placement = place(_fleet().snapshot(), request, ScoringPolicy()).placement
    if placement is None:
        raise LookupError(primary)
    workers = {
        name: WorkerHardware(products={f"{name}/gpu{n}": _PRODUCT for n in range(cards)})
        for name, cards in _CARDS.items()
    }
    shape = shape_of(facts, options)
    prediction = predict(Subject(placement=placement, shape=shape, workers=workers))
    if prediction is None:
        raise LookupError(_PRODUCT)
    return Answer(placement, prediction)


def _fleet() -> Fleet:
    fleet = Fleet()
    for name, count in _CARDS.items():
        pools = [f"{name}/gpu{n}" for n in range(count)]
        worker = Worker(
            name=name,
            operating_system=OperatingSystem.LINUX,
            cpu_architecture=CpuArchitecture.X86_64,
            accelerators=tuple(
                Accelerator(uuid=pool, kind=AcceleratorKind.CUDA, index=index, product=_PRODUCT)
                for index, pool in enumerate(pools)
            ),
            engines={EngineKind.LLAMA_CPP: (Engine(drives=frozenset({AcceleratorKind.CUDA})),)},
        )
        capacity = {RAM: _RAM_BYTES, **dict.fromkeys(pools, _CARD_BYTES - _RESERVE_BYTES)}
        total = {RAM: _RAM_BYTES, **dict.fromkeys(pools, _CARD_BYTES)}
        fleet.put_worker(worker, Condition(total=total, capacity=capacity))
    return fleet


def _facts() -> Facts:
    """The model's facts. Experts take what other weights leave of the file."""
    moe_blocks = _BLOCKS - _DENSE_BLOCKS
    embedding = int(_HIDDEN * _VOCABULARY * _EMBEDDING_BITS / 8)
    dense = int((_ATTENTION_WEIGHTS + _DENSE_WEIGHTS) * _BITS / 8)
    beside_experts = int((_ATTENTION_WEIGHTS + _EXPERT_WEIGHTS) * _BITS / 8)
    rest = _FILE_BYTES - 2 * embedding - _DENSE_BLOCKS * dense - moe_blocks * beside_experts
    experts = rest // moe_blocks
    gguf = model_facts_pb2.GgufFacts(
        architecture="deepseek2",
        parameter_count=671_000_000_000,
        quantization="IQ2_XXS",
        block_count=_BLOCKS,
        context_length=163840,
        embedding_length=_HIDDEN,
        vocabulary_size=_VOCABULARY,
        feed_forward_lengths=[18432] * _BLOCKS,
        # Keys and values of every head: llama.cpp kept them so then.
        head_counts=[128] * _BLOCKS,
        head_counts_kv=[128] * _BLOCKS,
        key_length=192,
        value_length=128,
        expert_count=_EXPERTS,
        expert_used_count=_USED,
        expert_feed_forward_length=_EXPERT_WIDTH,
        kv_lora_rank=512,
        block_bytes=[dense] * _DENSE_BLOCKS + [beside_experts + experts] * moe_blocks,
        block_expert_bytes=[0] * _DENSE_BLOCKS + [experts] * moe_blocks,
        output_bytes=embedding,
        token_embedding_bytes=embedding,
        total_tensor_bytes=_FILE_BYTES,
    )
    facts = facts_from_proto(model_facts_pb2.ModelFacts(gguf=gguf))
    if facts is None:
        raise LookupError("facts")
    return facts
