"""Workers that have the engine in other versions than the model asks for."""

import numpy as np

from moorage_scheduler.core.versions import order_of
from moorage_scheduler.filters.base import Mask, PlacementReason, Rejection, Request, Snapshot


class EngineVersionFilter:
    """A build of the engine has a version that the model asks for."""

    reason = PlacementReason.ENGINE_VERSION_UNSUPPORTED
    transient = False

    def passes(self, snapshot: Snapshot, request: Request) -> Mask:
        """Returns which slots have such a build, or no build at all: that is another filter's to say."""
        any_version = snapshot.rows.builds(request.engine, "").installed
        return np.asarray(
            ~any_version | snapshot.rows.builds(request.engine, request.engine_version).installed
        )

    def reject(self, snapshot: Snapshot, request: Request, slot: int) -> Rejection:
        """Returns the versions that would do, and those that the worker has."""
        worker, engine = snapshot.rows.at(slot), request.engine.value
        builds = {build.version for build in worker.engines.get(request.engine, ())}
        known = sorted(builds - {""}, key=order_of)
        instead = f", or ask for {known[-1]}" if known else ""
        return Rejection(
            reason=self.reason,
            needed=request.engine_version,
            available=", ".join([*known, *(["unknown"] if "" in builds else [])]),
            remedy=f"install {engine} {request.engine_version} on {worker.name}{instead}",
        )
