"""The scheduler's settings."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from moorage_common.core.address import Address
from moorage_common.core.errors import FieldViolation, InvalidArgument
from moorage_common.core.placement import PlacementStrategy
from moorage_common.runtime.addresses import ListenAddress, ServerAddress
from moorage_common.runtime.config import ServiceSettings
from moorage_scheduler.core.policy import ScoringPolicy


class SchedulerSettings(ServiceSettings):
    """Settings of the scheduler: flags over environment over defaults."""

    model_config = SettingsConfigDict(env_prefix="MOORAGE_SCHEDULER_", cli_prog_name="moorage-scheduler")

    listen: ListenAddress = "127.0.0.1:7601"
    registry_address: ServerAddress = "127.0.0.1:7600"
    """Where the registry serves, HOST:PORT."""
    downloader_address: ServerAddress = "127.0.0.1:7602"
    """Where the downloader serves, HOST:PORT: it looks at the sources that simulations name."""
    strategy: Literal["SPREAD", "BINPACK"] = "SPREAD"
    """Which feasible worker is better, for models that do not say: the emptiest, or the fullest that fits."""
    explain_workers: int = Field(default=10, ge=1, le=1000)
    """How many workers the explanation that is stored with an instance lists at most."""
    weight_fit: float = Field(default=ScoringPolicy().fit, ge=0)
    """How much it counts that GPUs hold the model: so much that nothing else outweighs it."""
    weight_binpack: float = Field(default=ScoringPolicy().binpack, ge=0)
    """With BINPACK, how much it counts that a worker is full already."""
    weight_spread: float = Field(default=ScoringPolicy().spread, ge=0)
    """With SPREAD, how much it counts that a worker runs little else, and nothing of the same model."""
    weight_artifact_locality: float = Field(default=ScoringPolicy().artifact_locality, ge=0)
    """How much it counts that the model's files are on the worker already."""
    weight_stickiness: float = Field(default=ScoringPolicy().stickiness, ge=0)
    """How much it counts that the instance ran on the worker last."""
    weight_speed: float = Field(default=ScoringPolicy().speed, ge=0)
    """How much it counts that the worker's cards read their memory fast."""
    weight_topology: float = Field(default=ScoringPolicy().topology, ge=0)
    """How much it counts that the cards over which layers are cut are linked, or hang on the same PCIe switches."""
    weight_lead: float = Field(default=ScoringPolicy().lead, ge=0)
    """Where several workers serve together, how much the memory that the one which leads brings counts in the score."""

    def plaintext_addresses(self) -> Mapping[str, Address]:
        """Returns what is listened on and spoken to in plaintext, by setting."""
        return {
            **super().plaintext_addresses(),
            "registry_address": Address.parse(self.registry_address),
            "downloader_address": Address.parse(self.downloader_address),
        }

    def contradictions(self) -> Mapping[str, str]:
        """Returns what is wrong with settings that are fine one by one, by setting."""
        found = dict(super().contradictions())
        try:
            self.policy()
        except InvalidArgument as error:
            found["weight_fit"] = error.violations[0].description
        return found

    def policy(self) -> ScoringPolicy:
        """Returns what the settings say of preferences.

        Raises:
            InvalidArgument: The weights contradict each other.
        """
        try:
            return ScoringPolicy(
                fit=self.weight_fit,
                binpack=self.weight_binpack,
                spread=self.weight_spread,
                artifact_locality=self.weight_artifact_locality,
                stickiness=self.weight_stickiness,
                speed=self.weight_speed,
                topology=self.weight_topology,
                lead=self.weight_lead,
                strategy=PlacementStrategy(self.strategy),
            )
        except ValueError as error:
            violation = FieldViolation(field="--weight-fit", description=str(error))
            raise InvalidArgument(f"the weights are invalid: {error}", violations=[violation]) from None
