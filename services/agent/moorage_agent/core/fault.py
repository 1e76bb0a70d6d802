"""What went wrong, as a value: can be kept, compared and reported, which an exception cannot."""

from dataclasses import dataclass
from typing import Self

from moorage_common.core.errors import ErrorReason, MoorageError, Shortage


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A `MoorageError` without its traceback. Equal faults need no second report."""

    kind: type[MoorageError]
    reason: ErrorReason
    message: str
    remedy: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
    resource: str = ""
    shortages: tuple[Shortage, ...] = ()

    @classmethod
    def of(cls, error: MoorageError) -> Self:
        """Returns the error as a value."""
        return cls(
            kind=type(error),
            reason=error.reason,
            message=error.message,
            remedy=error.remedy,
            metadata=tuple(sorted(error.metadata.items())),
            resource=error.resource,
            shortages=error.shortages,
        )

    def error(self) -> MoorageError:
        """Returns the value as an error again."""
        return self.kind(
            self.message,
            reason=self.reason,
            remedy=self.remedy,
            metadata=dict(self.metadata),
            resource=self.resource,
            shortages=self.shortages,
        )
