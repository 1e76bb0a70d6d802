"""Instances, as records and as protos."""

from moorage.common.v1 import placement_pb2
from moorage.registry.v1 import instance_pb2, instance_service_pb2
from moorage_common.core.names import instance_name, model_name, worker_name
from moorage_common.rpc.enums import INSTANCE_STATE
from moorage_registry.convert.json import error_to_proto, from_json, timestamp, to_json
from moorage_registry.core.records import Explained, Instance


def instance_to_proto(instance: Instance) -> instance_pb2.Instance:
    """Returns an instance as watchers see it."""
    placement, explanation, error = instance.placement, instance.explanation_message, instance.error
    performance = instance.performance
    return instance_pb2.Instance(
        name=instance_name(instance.model_id, instance.id),
        uid=instance.uid,
        etag=instance.etag,
        version=instance.version,
        create_time=timestamp(instance.created_at),
        update_time=timestamp(instance.updated_at),
        state=INSTANCE_STATE.to_proto(instance.state),
        state_time=timestamp(instance.state_at),
        worker=worker_name(instance.worker_id) if instance.worker_id else "",
        last_worker=worker_name(instance.last_worker_id) if instance.last_worker_id else "",
        placement=from_json(placement, placement_pb2.Placement()) if placement else None,
        explanation=placement_pb2.Explanation.FromString(explanation) if explanation else None,
        endpoint=instance.endpoint,
        error=error_to_proto(error),
        restart_count=instance.restart_count,
        retiring=instance.retiring,
        generation=instance.generation,
        evicting=instance.evicting,
        subordinates=map(worker_name, instance.subordinates),
        performance=from_json(performance, instance_pb2.InstancePerformance()) if performance else None,
    )


def explanation_from_proto(explanation: placement_pb2.Explanation) -> Explained:
    """Returns an explanation as it is kept."""
    gist = placement_pb2.Explanation(
        verdict=explanation.verdict,
        summary=explanation.summary,
        workers_considered=explanation.workers_considered,
    )
    return Explained(to_json(gist), explanation.SerializeToString())


def endpoint_to_proto(instance: Instance) -> instance_service_pb2.ModelEndpoint:
    """Returns where an instance that answers can be reached."""
    return instance_service_pb2.ModelEndpoint(
        model=model_name(instance.model_id),
        instance=instance_name(instance.model_id, instance.id),
        instance_uid=instance.uid,
        version=instance.version,
        worker=worker_name(instance.worker_id) if instance.worker_id else "",
        url=instance.endpoint,
        ready_time=timestamp(instance.state_at),
    )
