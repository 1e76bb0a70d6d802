import json

from moorage.registry.v1 import model_service_pb2, watch_service_pb2
from moorage_common.rpc.retries import service_config


def test_only_reading_unary_methods_are_repeated() -> None:
    services = [
        model_service_pb2.DESCRIPTOR.services_by_name["ModelService"],
        watch_service_pb2.DESCRIPTOR.services_by_name["WatchService"],
    ]
    (method_config,) = json.loads(service_config(services))["methodConfig"]
    names = {(item["service"].rpartition(".")[2], item["method"]) for item in method_config["name"]}
    assert names == {("ModelService", "GetModel"), ("ModelService", "ListModels")}
    assert method_config["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]


def test_without_services_nothing_is_repeated() -> None:
    assert json.loads(service_config([])) == {"methodConfig": []}
