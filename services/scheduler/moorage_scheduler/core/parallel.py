"""How an engine cuts a model over GPUs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelShape:
    """Every layer over `tensor` GPUs, the layers over `pipeline` groups of those, and `data` copies of it all."""

    tensor: int = 1
    pipeline: int = 1
    data: int = 1

    @property
    def gpus(self) -> int:
        """How many GPUs that takes."""
        return self.tensor * self.pipeline * self.data

    @property
    def ranks(self) -> int:
        """How many GPUs hold one copy together."""
        return self.tensor * self.pipeline

    def __str__(self) -> str:
        return f"{self.tensor} tensor x {self.pipeline} pipeline x {self.data} data = {self.gpus} GPUs"
