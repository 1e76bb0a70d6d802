"""Between the protos and the agent's own words."""

import re
from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp

from moorage.agent.v1 import agent_service_pb2 as agent_pb
from moorage.common.v1 import placement_pb2
from moorage.registry.v1 import (
    artifact_service_pb2,
    instance_pb2,
    instance_service_pb2,
    worker_pb2,
    worker_service_pb2,
)
from moorage_agent.core.domain import (
    CopyAssignment,
    DesiredState,
    EnginePhase,
    EngineStatus,
    FileEntry,
    InstanceAssignment,
)
from moorage_agent.core.fault import Fault
from moorage_agent.core.measure import RAM, Measurements, StorageFigures
from moorage_agent.core.paths import check_path
from moorage_agent.core.reports import CopyReport, InstanceReport
from moorage_agent.core.spec import EngineSpec, FlashAttention, GpuShare
from moorage_agent.core.usage import InstanceFigures
from moorage_common.core.errors import ErrorReason, FailedPrecondition, InvalidArgument
from moorage_common.core.llama_cpp import DEFAULT_CONTEXT, DEFAULT_MICRO_BATCH
from moorage_common.core.names import artifact_copy_name, parse_artifact, parse_model
from moorage_common.core.placement import KvCacheType
from moorage_common.core.states import EngineKind
from moorage_common.rpc import enums
from moorage_common.rpc.status import to_status

_UID = re.compile(r"[A-Za-z0-9-]{1,64}")
_ACTIONS = (worker_service_pb2.INSTANCE_ACTION_RUN, worker_service_pb2.INSTANCE_ACTION_STOP)


def desired_state(message: worker_service_pb2.DesiredNodeState) -> DesiredState:
    """Reads a desired state.

    Raises:
        InvalidArgument: Something in it cannot be understood, or must not be done.
    """
    return DesiredState(
        instances=tuple(map(_instance, message.instances)), copies=tuple(map(_copy, message.copies))
    )


def _instance(message: worker_service_pb2.InstanceAssignment) -> InstanceAssignment:
    # It becomes the name of a directory.
    if _UID.fullmatch(message.uid) is None:
        raise InvalidArgument(f"the uid of {message.instance} is not one: {message.uid[:80]!a}")
    if message.action not in _ACTIONS:
        raise InvalidArgument(f"{message.instance} has an action that this agent does not know")
    runs = message.action == worker_service_pb2.INSTANCE_ACTION_RUN
    refusal = _refusal(message) if runs else None
    return InstanceAssignment(
        uid=message.uid,
        instance=message.instance,
        generation=message.generation,
        spec=engine_spec(message) if runs and refusal is None else None,
        refusal=refusal,
    )


def _refusal(message: worker_service_pb2.InstanceAssignment) -> Fault | None:
    """Returns why an instance is not run; None: it is."""
    if not message.members:
        return None
    return Fault(
        kind=FailedPrecondition,
        reason=ErrorReason.DISTRIBUTION_UNSUPPORTED,
        message=f"this agent serves instances alone, and this one is spread over {len(message.members)} workers",
        remedy="Forbid the model's distribution, or let it fit one worker.",
        resource=message.instance,
    )


def engine_spec(message: worker_service_pb2.InstanceAssignment) -> EngineSpec:
    """Reads what an instance's engine is to serve.

    Raises:
        InvalidArgument: It cannot be understood.
    """
    options, placement = message.model.llama_cpp, message.placement
    engine, cache = placement.engine or message.model.engine, options.kv_cache_type
    attention = options.flash_attention
    return EngineSpec(
        # Unspecified: the one that fits its files. There is one kind of file yet, and one engine for it.
        kind=enums.ENGINE_KIND.from_proto(engine) if engine else EngineKind.LLAMA_CPP,
        alias=parse_model(message.model.name),
        artifact=parse_artifact(message.artifact),
        entry_point=str(check_path(message.entry_point)),
        context_length=placement.context_length or options.context_length or DEFAULT_CONTEXT,
        parallel_slots=options.parallel_slots or 1,
        gpus=_gpus(placement),
        kv_cache_type=enums.KV_CACHE_TYPE.from_proto(cache) if cache else KvCacheType.F16,
        flash_attention=(
            FlashAttention(enums.FLASH_ATTENTION.from_proto(attention).lower())
            if attention
            else FlashAttention.AUTO
        ),
        micro_batch_size=options.micro_batch_size or DEFAULT_MICRO_BATCH,
        unified_kv_cache=options.unified_kv_cache,
        forbid_mmap=options.forbid_mmap,
        threads=options.threads,
    )


def _gpus(placement: placement_pb2.Placement) -> tuple[GpuShare, ...]:
    return tuple(
        GpuShare(uuid=claim.pool, layers=claim.layers) for claim in placement.claims if claim.pool != RAM
    )


def _copy(message: worker_service_pb2.CopyAssignment) -> CopyAssignment:
    return CopyAssignment(
        artifact=parse_artifact(message.artifact),
        files=tuple(
            FileEntry(path=str(check_path(file.path)), size_bytes=file.size_bytes, sha256=file.sha256)
            for file in message.files
        ),
        read_from=tuple(message.read_from),
    )


def instance_report(
    report: InstanceReport, *, worker: str, lease_id: str
) -> instance_service_pb2.ReportInstanceRequest:
    """Writes a report on an instance."""
    return instance_service_pb2.ReportInstanceRequest(
        instance=report.instance,
        uid=report.uid,
        worker=worker,
        lease_id=lease_id,
        state=enums.INSTANCE_STATE.to_proto(report.state),
        endpoint=report.endpoint,
        error=None if report.error is None else to_status(report.error.error()),
        restart_count=report.restart_count,
        generation=report.generation,
    )


def copy_report(
    report: CopyReport, *, worker_id: str, lease_id: str
) -> artifact_service_pb2.ReportArtifactCopyRequest:
    """Writes a report on a copy."""
    return artifact_service_pb2.ReportArtifactCopyRequest(
        name=artifact_copy_name(report.artifact, worker_id),
        lease_id=lease_id,
        state=enums.COPY_STATE.to_proto(report.state),
        done_bytes=report.done_bytes,
        bytes_per_second=report.bytes_per_second,
        error=None if report.error is None else to_status(report.error.error()),
    )


def measurements(measured: Measurements) -> worker_service_pb2.NodeMeasurements:
    """Writes what was measured."""
    return worker_service_pb2.NodeMeasurements(
        foreign_bytes=measured.foreign_bytes,
        storage=None if measured.storage is None else storage(measured.storage),
        instances=map(_instance_measurement, measured.instances.values()),
    )


def _instance_measurement(figures: InstanceFigures) -> worker_service_pb2.InstanceMeasurement:
    return worker_service_pb2.InstanceMeasurement(
        instance_uid=figures.uid,
        generation=figures.generation,
        performance=instance_pb2.InstancePerformance(
            decode_tokens_per_s=figures.decode_tokens_per_s,
            prefill_tokens_per_s=figures.prefill_tokens_per_s,
            concurrent_requests=figures.concurrent_requests,
            generated_tokens=figures.generated_tokens,
            prompt_tokens=figures.prompt_tokens,
            request_count=figures.request_count,
            last_activity_time=_timestamp(figures.last_activity),
        ),
    )


def storage(figures: StorageFigures) -> worker_pb2.Storage:
    """Writes the room for artifacts."""
    return worker_pb2.Storage(
        capacity_bytes=figures.capacity_bytes,
        free_bytes=figures.free_bytes,
        artifact_bytes=figures.artifact_bytes,
    )


_ENGINE_STATES = {
    EnginePhase.CHECKING: agent_pb.ENGINE_STATE_STARTING,
    EnginePhase.STARTING: agent_pb.ENGINE_STATE_STARTING,
    EnginePhase.RUNNING: agent_pb.ENGINE_STATE_RUNNING,
    EnginePhase.BACKING_OFF: agent_pb.ENGINE_STATE_BACKING_OFF,
    EnginePhase.STOPPING: agent_pb.ENGINE_STATE_STOPPING,
}


def engines(statuses: Iterable[EngineStatus], versions: dict[EngineKind, str]) -> list[agent_pb.Engine]:
    """Writes the engines of the node, by instance."""
    ordered = sorted(statuses, key=lambda status: status.instance)
    return [_engine(status, versions.get(status.spec.kind, "")) for status in ordered]


def _engine(status: EngineStatus, version: str) -> agent_pb.Engine:
    return agent_pb.Engine(
        instance=status.instance,
        kind=enums.ENGINE_KIND.to_proto(status.spec.kind),
        version=version,
        state=_ENGINE_STATES[status.phase],
        pid=status.pid,
        endpoint=status.endpoint,
        start_time=_timestamp(status.started_at),
        restart_count=status.restart_count,
        last_error=_message(status.error),
        generation=status.generation,
    )


def _timestamp(seconds: float) -> Timestamp | None:
    if not seconds:
        return None
    timestamp = Timestamp()
    timestamp.FromNanoseconds(int(seconds * 1e9))
    return timestamp


def _message(fault: Fault | None) -> str:
    return "" if fault is None else fault.message
