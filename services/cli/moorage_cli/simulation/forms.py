"""How people write the messages of a simulation: shorter keys, names without their collections, words for lists.

What is not said here is as the protos have it: every field is known under its own name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import Descriptor

from moorage_cli.names import instance_of, model_id_from_source, model_of, worker_of
from moorage_cli.simulation import shorthand
from moorage_common.core.names import ARTIFACT

Read = Callable[[str], object]
"""From what is written to the value of a field. Raises `ValueError` or `InvalidArgument`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How people write one kind of message."""

    names: Mapping[str, str] = field(default_factory=dict)
    """Keys by fields, where they differ."""
    hidden: frozenset[str] = frozenset()
    """Fields that files do not have."""
    reads: Mapping[str, Read] = field(default_factory=dict)
    """How fields are read whose text is not yet their value."""
    needed: tuple[str, ...] = ()
    """Fields that must be given."""
    one_of: str = ""
    """A oneof that must be given."""
    short: Callable[[str, Any], int] | None = None
    """Fills the message from a word in its place, and returns how many such there are."""
    table: Callable[[str, str, Any], None] | None = None
    """Fills a message from a key and a word, where a mapping stands for a list of them."""
    numbered: Callable[[Any, int], None] | None = None
    """Tells the message from the others of its `count`. None: there is no `count`."""
    finish: Callable[[Any], None] | None = None
    """Fills in what follows from the rest."""

    def key_of(self, name: str) -> str:
        """Returns what files call a field."""
        return self.names.get(name, name)

    def fields_by_key(self, descriptor: Descriptor) -> dict[str, str]:
        """Returns the names of fields by what files call them."""
        return {
            self.key_of(each.name): each.name for each in descriptor.fields if each.name not in self.hidden
        }


def _instance(text: str) -> str:
    name = instance_of(text)
    if name is None:
        raise ValueError(f"{text!r} is no name of an instance; write it as in llama/1")
    return name


def _artifact(text: str) -> str:
    return text if ARTIFACT.matches(text) else ARTIFACT.format(text)


def _finish_model(model: Any) -> None:  # noqa: ANN401 - generated messages have no common typed base
    if not model.name and model.source:
        model.name = model_of(model_id_from_source(model.source))


_SIMULATION = "moorage.scheduler.v1"
_COMMON = "moorage.common.v1"
_REGISTRY = "moorage.registry.v1"
PLAIN = Form()
FORMS: Mapping[str, Form] = {
    f"{_SIMULATION}.SimulatePlacementRequest": Form(hidden=frozenset({"max_workers"})),
    f"{_SIMULATION}.SimulatedWorker": Form(
        names={
            "operating_system": "os",
            "cpu_architecture": "arch",
            "accelerators": "gpus",
            "ram_total_bytes": "ram",
            "ram_reserved_bytes": "ram_reserved",
            "ram_foreign_bytes": "ram_foreign",
            "disk_free_bytes": "disk_free",
            "ram_bytes_per_s": "ram_speed",
            "network_bytes_per_s": "network_speed",
        },
        reads={"name": worker_of},
        needed=("name", "ram_total_bytes"),
        numbered=shorthand.number_worker,
    ),
    f"{_SIMULATION}.SimulatedAccelerator": Form(
        names={
            "memory_total_bytes": "memory",
            "memory_reserved_bytes": "reserved",
            "memory_foreign_bytes": "foreign",
        },
        short=shorthand.read_cards,
        numbered=shorthand.number_card,
    ),
    f"{_SIMULATION}.SimulatedCopy": Form(names={"done_bytes": "done"}, short=shorthand.read_copy),
    f"{_SIMULATION}.SimulatedInstance": Form(
        names={"claims": "holds"},
        reads={"name": _instance, "worker": worker_of, "subordinates": worker_of},
        needed=("name",),
    ),
    f"{_COMMON}.MemoryClaim": Form(
        names={"size_bytes": "size"},
        hidden=frozenset({"parts", "layers"}),
        reads={"worker": worker_of},
        needed=("pool", "size_bytes"),
        table=shorthand.read_claim,
    ),
    f"{_SIMULATION}.SimulatedModel": Form(
        names={"artifact_size_bytes": "artifact_size"},
        reads={"name": model_of, "known_artifact": _artifact},
        needed=("name",),
        one_of="facts_from",
        finish=_finish_model,
    ),
    f"{_SIMULATION}.ModelSizes": Form(
        names={
            "block_weight_bytes": "block_weights",
            "output_bytes": "output",
            "token_embedding_bytes": "token_embedding",
            "block_kv_bytes": "block_kv",
            "kv_bytes_per_token_per_block": "kv_per_token_per_block",
            "gpu_compute_bytes": "gpu_compute",
            "ram_compute_bytes": "ram_compute",
            "gpu_overhead_bytes": "gpu_overhead",
            "ram_overhead_bytes": "ram_overhead",
            "weight_bytes": "weights",
            "lora_bytes": "lora",
            "draft_bytes": "draft",
            "projector_bytes": "projector",
            "active_weight_bytes": "active_weights",
        },
    ),
    f"{_COMMON}.VllmOptions": Form(names={"host_kv_cache_bytes": "host_kv_cache"}),
    f"{_REGISTRY}.PlacementPolicy": Form(
        names={"worker_labels": "labels", "primary_worker": "primary"},
        reads={"workers": worker_of, "primary_worker": worker_of},
    ),
    f"{_REGISTRY}.GpuSelector": Form(reads={"worker": worker_of}, short=shorthand.read_selector),
    f"{_REGISTRY}.InstalledEngine": Form(needed=("kind",), short=shorthand.read_engine),
}
"""By the full name of the message."""


def form_of(descriptor: Descriptor) -> Form:
    """Returns how people write a kind of message."""
    return FORMS.get(descriptor.full_name, PLAIN)
