"""ModelService."""

from moorage.registry.v1 import model_service_pb2 as pb
from moorage.registry.v1 import model_service_pb2_grpc
from moorage_common.core.names import parse_model
from moorage_common.rpc.server import ServicerContext
from moorage_registry.convert.models import model_from_proto, model_to_proto
from moorage_registry.mutation import mutate
from moorage_registry.servicers.masks import check_mask
from moorage_registry.store import listing, models
from moorage_registry.store.database import Database, Transaction
from moorage_registry.store.lists import MODEL_LIST
from moorage_registry.store.tables import MODELS

_CHANGEABLE = frozenset(
    {
        "labels",
        "replicas",
        "source",
        "engine",
        "engine_version",
        "category",
        "llama_cpp",
        "vllm",
        "placement",
    }
)


class ModelServicer(model_service_pb2_grpc.ModelServiceServicer):
    """What users want served."""

    def __init__(self, database: Database) -> None:
        """Takes the store."""
        self._database = database

    async def CreateModel(
        self, request: pb.CreateModelRequest, context: ServicerContext
    ) -> pb.CreateModelResponse:
        async def work(tx: Transaction) -> pb.CreateModelResponse:
            wanted = model_from_proto(request.model_id, request.model, now=tx.now)
            return pb.CreateModelResponse(model=model_to_proto(await models.create(tx, wanted)))

        return await mutate(self._database, request, pb.CreateModelResponse, work)

    async def GetModel(self, request: pb.GetModelRequest, context: ServicerContext) -> pb.GetModelResponse:
        model_id = parse_model(request.name)
        async with self._database.read() as connection:
            model = await listing.get(connection, MODELS, request.name, model_id)
        return pb.GetModelResponse(model=model_to_proto(model))

    async def ListModels(
        self, request: pb.ListModelsRequest, context: ServicerContext
    ) -> pb.ListModelsResponse:
        async with self._database.read() as connection:
            found, token = await listing.page(connection, MODEL_LIST, request, query="models")
        return pb.ListModelsResponse(models=map(model_to_proto, found), next_page_token=token)

    async def UpdateModel(
        self, request: pb.UpdateModelRequest, context: ServicerContext
    ) -> pb.UpdateModelResponse:
        model_id = parse_model(request.model.name, field="model.name")
        fields = check_mask(request.update_mask, _CHANGEABLE)

        async def work(tx: Transaction) -> pb.UpdateModelResponse:
            wanted = model_from_proto(model_id, request.model, now=tx.now)
            model = await models.update(tx, wanted, fields, request.model.etag)
            return pb.UpdateModelResponse(model=model_to_proto(model))

        return await mutate(self._database, request, pb.UpdateModelResponse, work)

    async def DeleteModel(
        self, request: pb.DeleteModelRequest, context: ServicerContext
    ) -> pb.DeleteModelResponse:
        model_id = parse_model(request.name)

        async def work(tx: Transaction) -> pb.DeleteModelResponse:
            left = await models.remove(tx, model_id, request.etag)
            return pb.DeleteModelResponse(model=model_to_proto(left) if left else None)

        return await mutate(self._database, request, pb.DeleteModelResponse, work)

    async def StartModel(
        self, request: pb.StartModelRequest, context: ServicerContext
    ) -> pb.StartModelResponse:
        model_id = parse_model(request.name)

        async def work(tx: Transaction) -> pb.StartModelResponse:
            model = await models.start(tx, model_id, request.etag)
            return pb.StartModelResponse(model=model_to_proto(model))

        return await mutate(self._database, request, pb.StartModelResponse, work)

    async def StopModel(self, request: pb.StopModelRequest, context: ServicerContext) -> pb.StopModelResponse:
        model_id = parse_model(request.name)

        async def work(tx: Transaction) -> pb.StopModelResponse:
            model = await models.stop(tx, model_id, request.etag)
            return pb.StopModelResponse(model=model_to_proto(model))

        return await mutate(self._database, request, pb.StopModelResponse, work)
