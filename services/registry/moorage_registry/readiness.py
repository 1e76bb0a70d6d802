"""Whether this replica can serve: it can while its database answers."""

import asyncio

from moorage_common.core.errors import MoorageError
from moorage_common.rpc.server import RpcServer
from moorage_common.runtime.logs import get_logger
from moorage_registry.store.database import Database

log = get_logger(__name__)

_INTERVAL_S = 1.0


async def follow_readiness(database: Database, server: RpcServer) -> None:
    """Keeps the server's health in line with the database, for ever."""
    serving = False
    while True:
        try:
            await database.ping()
        except MoorageError as error:
            if serving:
                log.warning("the database is away", error=error.message)
            serving = False
            await server.set_not_serving()
        else:
            if not serving:
                log.info("serving", address=server.address)
            serving = True
            await server.set_serving()
        await asyncio.sleep(_INTERVAL_S)
