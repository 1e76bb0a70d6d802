"""A fleet on paper as the scheduler's own: workers, what is on them, what is preferred, what is to be placed."""

from collections import defaultdict
from collections.abc import Generator, Iterator
from dataclasses import fields, replace

from moorage.scheduler.v1 import simulation_pb2 as pb
from moorage_common.core.states import CopyState, EngineKind
from moorage_common.rpc.enums import COPY_STATE, PLACEMENT_STRATEGY
from moorage_scheduler.convert.paper_instances import InstanceReader
from moorage_scheduler.convert.paper_models import ModelChecker, replicas_of, wished_engines
from moorage_scheduler.convert.paper_workers import Table, WorkerReader
from moorage_scheduler.convert.problems import Problems, alternatives
from moorage_scheduler.core.fleet import Fleet
from moorage_scheduler.core.policy import ScoringPolicy

USUAL_WORKERS = 20
"""Workers that an explanation lists where nobody says how many."""
MOST_EXPLAINED = 200_000
"""Workers that all explanations of one answer list together: about as much as a message holds."""
_SCORERS = tuple(each.name for each in fields(ScoringPolicy) if each.name != "strategy")


class PaperFleet:
    """What a request describes. Made in steps, between which others can be served.

    Args:
        request: The request, in which every field by itself is valid.
        policy: What is preferred where the request does not say.
        table: Knows cards by their products.
    """

    def __init__(self, request: pb.SimulatePlacementRequest, *, policy: ScoringPolicy, table: Table) -> None:
        self.fleet = Fleet()
        """The workers and what is on them."""
        self.policy = policy
        """What is preferred."""
        self._request = request
        self._table = table
        self._problems = Problems()

    @property
    def explain_workers(self) -> int:
        """How many workers each explanation lists."""
        if self._request.max_workers:
            return self._request.max_workers
        return min(USUAL_WORKERS, max(1, MOST_EXPLAINED // max(1, self._replicas)))

    def build(self) -> Iterator[None]:
        """Takes in everything, worker by worker and instance by instance.

        Raises:
            InvalidArgument: At its end, if something is wrong; all of it is listed.
        """
        totals = yield from self._put_workers()
        yield from self._put_instances(totals)
        checker = ModelChecker(workers=totals, problems=self._problems)
        for position, model in enumerate(self._request.models):
            checker.check(model, f"models[{position}]")
            yield
        self._set_policy()
        self._check_explanations()
        self._problems.check()

    @property
    def _replicas(self) -> int:
        return sum(replicas_of(model) for model in self._request.models)

    def _put_workers(self) -> Generator[None, None, dict[str, dict[str, int]]]:
        reader = WorkerReader(table=self._table, wishes=_wishes(self._request), problems=self._problems)
        totals: dict[str, dict[str, int]] = {}
        copies: dict[str, list[str]] = defaultdict(list)
        for position, said in enumerate(self._request.workers):
            worker, condition = reader.read(said, f"workers[{position}]")
            if worker.name not in totals:
                self.fleet.put_worker(worker, condition)
                totals[worker.name] = dict(condition.total)
            for copy in said.artifacts:
                if not copy.state or COPY_STATE.from_proto(copy.state) is CopyState.READY:
                    copies[copy.artifact].append(worker.name)
            yield
        for artifact, workers in copies.items():
            self.fleet.put_copies(artifact, workers)
        return totals

    def _put_instances(self, totals: dict[str, dict[str, int]]) -> Iterator[None]:
        reader = InstanceReader(totals=totals, problems=self._problems)
        for position, said in enumerate(self._request.instances):
            tenant = reader.read(said, f"instances[{position}]")
            if tenant is not None:
                self.fleet.put_tenant(said.name, tenant)
            yield

    def _set_policy(self) -> None:
        said = self._request.policy
        for name in said.weights:
            if name not in _SCORERS:
                told = f"there is no such scorer; there is {alternatives(_SCORERS)}"
                self._problems.add(f'policy.weights["{name}"]', told)
        known = {name: weight for name, weight in said.weights.items() if name in _SCORERS}
        strategy = PLACEMENT_STRATEGY.from_proto(said.strategy) if said.strategy else self.policy.strategy
        try:
            self.policy = replace(self.policy, strategy=strategy, **known)
        except ValueError as error:
            self._problems.add("policy.weights", str(error))

    def _check_explanations(self) -> None:
        if self._request.max_workers * self._replicas > MOST_EXPLAINED:
            most = max(1, MOST_EXPLAINED // self._replicas)
            self._problems.add("max_workers", f"must be at most {most} with {self._replicas} replicas")


def _wishes(request: pb.SimulatePlacementRequest) -> dict[EngineKind, frozenset[str]]:
    wishes: dict[EngineKind, set[str]] = defaultdict(set)
    for model in request.models:
        if model.engine_version:
            for engine in wished_engines(model):
                wishes[engine].add(model.engine_version)
    return {engine: frozenset(versions) for engine, versions in wishes.items()}
