"""Conversion between the protos' enums and the domain's, by name.

    WORKER_STATE.to_proto(WorkerState.READY)                     # WORKER_STATE_READY
    WORKER_STATE.from_proto(worker_pb2.WORKER_STATE_READY)       # WorkerState.READY

A map is only made if both sides have the same names, so that a value which was added to one of them and
forgotten in the other is found when the module is imported, not when it first occurs.
"""

from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

from google.protobuf.descriptor import EnumDescriptor

from moorage.common.v1 import engine_pb2, error_reason_pb2, placement_pb2
from moorage.registry.v1 import artifact_pb2, instance_pb2, model_pb2, worker_pb2
from moorage_common.core import errors, placement, states
from moorage_common.core.errors import InvalidArgument

if TYPE_CHECKING:
    from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper as EnumTypeWrapper

ValueT = TypeVar("ValueT", bound=int)
EnumT = TypeVar("EnumT", bound=StrEnum)


class EnumMap(Generic[ValueT, EnumT]):
    """Converts values of one enum between the protos and the domain."""

    def __init__(self, proto: "EnumTypeWrapper[ValueT]", domain: type[EnumT]) -> None:
        """Pairs the values of both sides by name.

        Raises:
            ValueError: One side has a name that the other lacks.
        """
        names = value_names(proto.DESCRIPTOR)
        if unpaired := set(names) ^ {member.value for member in domain}:
            raise ValueError(
                f"{proto.DESCRIPTOR.full_name} and {domain.__name__} differ in {sorted(unpaired)};"
                " has `make protos` been run?"
            )
        self._name = proto.DESCRIPTOR.name
        self._to_proto = {domain(name): proto.Value(full_name) for name, full_name in names.items()}
        self._from_proto = {value: member for member, value in self._to_proto.items()}

    def to_proto(self, member: EnumT) -> ValueT:
        """Returns the value in the protos."""
        return self._to_proto[member]

    def from_proto(self, value: ValueT) -> EnumT:
        """Returns the member in the domain.

        Raises:
            InvalidArgument: The value is unspecified, or of a newer version of the protos.
        """
        try:
            return self._from_proto[value]
        except KeyError:
            raise InvalidArgument(f"{self._name} has no value {value}") from None


def value_names(descriptor: EnumDescriptor) -> dict[str, str]:
    """Returns the proto's names of an enum's values by their names without prefix; not the unspecified."""
    prefix = descriptor.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {value.name.removeprefix(prefix): value.name for value in descriptor.values if value.number != 0}


WORKER_STATE = EnumMap(worker_pb2.WorkerState, states.WorkerState)
DESIRED_STATE = EnumMap(model_pb2.DesiredState, states.DesiredState)
RESOLUTION_STATE = EnumMap(model_pb2.ResolutionState, states.ResolutionState)
INSTANCE_STATE = EnumMap(instance_pb2.InstanceState, states.InstanceState)
COPY_STATE = EnumMap(artifact_pb2.CopyState, states.CopyState)
PULL_STATE = EnumMap(artifact_pb2.PullState, states.PullState)
DOWNLOAD_STATE = EnumMap(artifact_pb2.DownloadState, states.DownloadState)
ENGINE_KIND = EnumMap(engine_pb2.EngineKind, states.EngineKind)
KV_CACHE_TYPE = EnumMap(engine_pb2.KvCacheType, placement.KvCacheType)
FLASH_ATTENTION = EnumMap(engine_pb2.FlashAttention, placement.FlashAttention)
VLLM_DTYPE = EnumMap(engine_pb2.VllmDtype, placement.VllmDtype)
MODEL_CATEGORY = EnumMap(engine_pb2.ModelCategory, placement.ModelCategory)
PLACEMENT_MODE = EnumMap(placement_pb2.PlacementMode, placement.PlacementMode)
ACCELERATOR_KIND = EnumMap(worker_pb2.AcceleratorKind, states.AcceleratorKind)
OPERATING_SYSTEM = EnumMap(worker_pb2.OperatingSystem, placement.OperatingSystem)
CPU_ARCHITECTURE = EnumMap(worker_pb2.CpuArchitecture, placement.CpuArchitecture)
PLACEMENT_STRATEGY = EnumMap(model_pb2.PlacementStrategy, placement.PlacementStrategy)
PLACEMENT_REASON = EnumMap(placement_pb2.PlacementReason, placement.PlacementReason)
VERDICT = EnumMap(placement_pb2.Verdict, placement.Verdict)
MEMORY_PART = EnumMap(placement_pb2.MemoryPart, placement.MemoryPart)
ERROR_REASON = EnumMap(error_reason_pb2.ErrorReason, errors.ErrorReason)
