"""How far a deployment is, read off what the watch has shown so far.

A pure function of the cache: whoever missed events gets to the same answer.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from moorage.common.v1.placement_pb2 import Explanation, Verdict
from moorage.registry.v1.artifact_pb2 import Artifact, ArtifactCopy, CopyState, PullState
from moorage.registry.v1.instance_pb2 import Instance, InstanceState
from moorage.registry.v1.model_pb2 import Model, ResolutionState
from moorage_cli.views.facts import describe_pin
from moorage_cli.views.milestones import Mark, Milestone, Outcome, OutcomeKind, Transfer
from moorage_cli.views.words import short, size
from moorage_common.core.errors import ErrorReason, FailedPrecondition, NotFound
from moorage_common.rpc.status import from_status

_RESTARTS_UNTIL_GIVEN_UP = 3


class Resources(Protocol):
    """The part of the informer's snapshot that is looked at."""

    @property
    def models(self) -> Mapping[str, Model]: ...  # noqa: D102
    @property
    def instances(self) -> Mapping[str, Instance]: ...  # noqa: D102
    @property
    def artifacts(self) -> Mapping[str, Artifact]: ...  # noqa: D102
    @property
    def copies(self) -> Mapping[str, ArtifactCopy]: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentStatus:
    """Everything there is to tell about a deployment at one moment."""

    milestones: tuple[Milestone, ...]
    transfers: tuple[Transfer, ...]
    outcome: Outcome | None
    """None: it goes on."""


def deployment_status(
    resources: Resources, model_name: str, *, only: Collection[str] = ()
) -> DeploymentStatus:
    """Returns how far the deployment of a model is.

    Args:
        resources: What the watch has shown.
        model_name: The model.
        only: Instances by name: how far these are, whatever the others do. Empty: as many as are wanted.
    """
    model = resources.models.get(model_name)
    if model is None:
        gone = NotFound(f"{model_name} was deleted", resource=model_name)
        return DeploymentStatus(milestones=(), transfers=(), outcome=Outcome(OutcomeKind.FAILED, gone))
    instances = instances_of(resources, model_name)
    wanted = model.replicas if model.HasField("replicas") else 1
    if only:
        instances = [instance for instance in instances if instance.name in only]
        # One that went away meanwhile is not waited for.
        wanted = len(instances)
    artifact = resources.artifacts.get(model.resolution.artifact)
    workers = {instance.worker for instance in instances if instance.worker}
    copies = [
        copy
        for copy in resources.copies.values()
        if artifact is not None and copy.artifact == artifact.name and copy.worker in workers
    ]
    return DeploymentStatus(
        milestones=(*_source_milestones(model, artifact, copies), *_instance_milestones(instances)),
        transfers=_transfers(artifact, copies),
        outcome=_outcome(model, artifact, instances, wanted),
    )


def instances_of(resources: Resources, model_name: str) -> list[Instance]:
    """Returns a model's instances that are not on their way out, by name."""
    prefix = f"{model_name}/"
    found = [instance for name, instance in resources.instances.items() if name.startswith(prefix)]
    return sorted((instance for instance in found if not instance.retiring), key=lambda each: each.name)


def _source_milestones(
    model: Model, artifact: Artifact | None, copies: list[ArtifactCopy]
) -> list[Milestone]:
    told: list[Milestone] = []
    resolution = model.resolution
    if resolution.state == ResolutionState.RESOLUTION_STATE_RESOLVING and resolution.error.message:
        told.append(Milestone(Mark.TROUBLE, "source", f"{resolution.error.message} (tried again)"))
    if artifact is None:
        return told
    told.append(Milestone(Mark.DONE, "resolved", describe_pin(artifact)))
    if artifact.pull.state != PullState.PULL_STATE_FAILED and artifact.pull.error.message:
        told.append(Milestone(Mark.TROUBLE, "pull", f"{artifact.pull.error.message} (tried again)"))
    for copy in copies:
        if copy.state == CopyState.COPY_STATE_READY:
            text = f"{size(copy.size_bytes)} on {copy.worker}, verified"
            told.append(Milestone(Mark.DONE, "fetched", text))
        elif copy.error.message:
            text = f"{copy.worker}: {copy.error.message} (tried again)"
            told.append(Milestone(Mark.TROUBLE, "fetch", text))
    return told


def _instance_milestones(instances: list[Instance]) -> list[Milestone]:
    told: list[Milestone] = []
    for instance in instances:
        who = short(instance.name)
        if instance.placement.worker:
            why = instance.explanation.summary or f"on {instance.placement.worker}"
            told.append(Milestone(Mark.DONE, "placed", f"{who}: {why}"))
        elif instance.state == InstanceState.INSTANCE_STATE_PENDING and instance.explanation.summary:
            told.append(Milestone(Mark.WAITING, "waiting", f"{who}: {instance.explanation.summary}"))
        if instance.state == InstanceState.INSTANCE_STATE_ERROR:
            told.append(Milestone(Mark.TROUBLE, "engine", f"{who}: {instance.error.message} (started again)"))
        if instance.state == InstanceState.INSTANCE_STATE_UNREACHABLE:
            told.append(Milestone(Mark.TROUBLE, "worker", f"{who}: {instance.worker} does not answer"))
        if instance.state == InstanceState.INSTANCE_STATE_RUNNING:
            told.append(Milestone(Mark.DONE, "running", f"{who}: {instance.endpoint}"))
    return told


def _transfers(artifact: Artifact | None, copies: list[ArtifactCopy]) -> tuple[Transfer, ...]:
    if artifact is None:
        return ()
    shown: list[Transfer] = []
    pull = artifact.pull
    if pull.state in (PullState.PULL_STATE_QUEUED, PullState.PULL_STATE_PULLING):
        shown.append(Transfer("from its source", pull.done_bytes, artifact.size_bytes, pull.bytes_per_second))
    shown += [
        Transfer(f"onto {copy.worker}", copy.done_bytes, copy.size_bytes, copy.bytes_per_second)
        for copy in copies
        if copy.state in (CopyState.COPY_STATE_FETCHING, CopyState.COPY_STATE_VERIFYING)
    ]
    return tuple(shown)


def _outcome(
    model: Model, artifact: Artifact | None, instances: list[Instance], wanted: int
) -> Outcome | None:
    if model.resolution.state == ResolutionState.RESOLUTION_STATE_FAILED:
        return Outcome(OutcomeKind.FAILED, from_status(model.resolution.error))
    if artifact is not None and artifact.pull.state == PullState.PULL_STATE_FAILED:
        return Outcome(OutcomeKind.FAILED, from_status(artifact.pull.error))
    for instance in instances:
        if instance.state == InstanceState.INSTANCE_STATE_ERROR and (
            instance.restart_count >= _RESTARTS_UNTIL_GIVEN_UP
        ):
            return Outcome(OutcomeKind.FAILED, from_status(instance.error))
        if instance.state == InstanceState.INSTANCE_STATE_PENDING and _fits_nowhere(instance.explanation):
            return Outcome(OutcomeKind.UNPLACED, _unplaced(instance))
    running = [each for each in instances if each.state == InstanceState.INSTANCE_STATE_RUNNING]
    return Outcome(OutcomeKind.RUNNING) if len(running) >= wanted else None


def _fits_nowhere(explanation: Explanation) -> bool:
    # With no worker there yet nothing is said about the model.
    return explanation.verdict == Verdict.VERDICT_NEVER_FITS and explanation.workers_considered > 0


def _unplaced(instance: Instance) -> FailedPrecondition:
    rejections = [rejection for worker in instance.explanation.workers for rejection in worker.rejections]
    return FailedPrecondition(
        f"{instance.name}: {instance.explanation.summary}",
        reason=ErrorReason.INSUFFICIENT_MEMORY,
        remedy=next((rejection.remedy for rejection in rejections if rejection.remedy), ""),
        resource=instance.name,
    )
