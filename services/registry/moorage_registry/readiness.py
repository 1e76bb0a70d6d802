"""Whether this replica can serve: it can while its database answers."""

from moorage_common.rpc.server import RpcServer
from moorage_common.runtime.logs import get_logger
from moorage_registry.lookout import Lookout

log = get_logger(__name__)


async def follow_readiness(lookout: Lookout, server: RpcServer) -> None:
    """Keeps the server's health in line with the database, for ever."""
    log.info("serving", address=server.address)
    await server.set_serving()
    serving = True
    async for seen in lookout.looks():
        if serving and seen is None:
            log.warning("the database is away", cause=lookout.trouble)
            await server.set_not_serving()
        elif not serving and seen is not None:
            log.info("serving", address=server.address)
            await server.set_serving()
        serving = seen is not None
