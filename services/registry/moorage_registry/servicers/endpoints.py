"""InstanceService: where models can be reached."""

from moorage.registry.v1 import instance_service_pb2 as pb
from moorage_common.core.names import parse_model
from moorage_common.core.states import InstanceState
from moorage_common.rpc.server import ServicerContext
from moorage_registry.convert.instances import endpoint_to_proto
from moorage_registry.store import events, listing, schema
from moorage_registry.store.database import Database
from moorage_registry.store.lists import INSTANCE_LIST

_ALL = "models/-"
_TABLE = schema.instances


class ModelEndpoints:
    """Instances that answer."""

    _database: Database

    async def ListModelEndpoints(
        self, request: pb.ListModelEndpointsRequest, context: ServicerContext
    ) -> pb.ListModelEndpointsResponse:
        where = [_TABLE.c.state == InstanceState.RUNNING, _TABLE.c.endpoint != ""]
        if request.parent != _ALL:
            where.append(_TABLE.c.model_id == parse_model(request.parent, field="parent"))
        async with self._database.read(snapshot=True) as connection:
            # What is committed and has no revision yet is told again by a watch from here: with the same version.
            revision = (await events.bounds(connection)).revision
            found, token = await listing.page(
                connection, INSTANCE_LIST, request, query=f"{request.parent}/endpoints", where=where
            )
        return pb.ListModelEndpointsResponse(
            endpoints=map(endpoint_to_proto, found), next_page_token=token, revision=revision
        )
