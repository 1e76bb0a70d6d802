"""What one node should hold and run."""

from dataclasses import dataclass

from moorage_common.core.states import PullState
from moorage_registry.core.records import Artifact, Instance, Member, Model


@dataclass(frozen=True, slots=True)
class AssignedPart:
    """One worker's part in an instance that is bound to several."""

    member: Member
    agent_address: str
    """Where its agent answers."""


@dataclass(frozen=True, slots=True)
class AssignedInstance:
    """An instance that is bound to the node, alone or with others, and what it serves."""

    instance: Instance
    model: Model
    artifact: Artifact
    parts: tuple[AssignedPart, ...] = ()
    """By rank. Empty: the node runs it alone."""


@dataclass(frozen=True, slots=True)
class NodeAssignments:
    """Everything that a node should hold and run."""

    instances: tuple[AssignedInstance, ...]
    artifacts: tuple[Artifact, ...]

    @staticmethod
    def readable_at(artifact: Artifact) -> list[str]:
        """Addresses at which an artifact's bytes can be read."""
        served = artifact.pull_state in {PullState.PULLING, PullState.COMPLETE}
        return [artifact.pull_address] if served and artifact.pull_address else []
