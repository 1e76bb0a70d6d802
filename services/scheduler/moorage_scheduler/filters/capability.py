"""Cards that cannot compute what the model's quantisation or number format needs."""

from moorage_scheduler.core.versions import number
from moorage_scheduler.filters.base import CardRule, Mask, PlacementReason, Rejection, Request, Snapshot
from moorage_scheduler.filters.card_limits import IMPOSSIBLE, admitted, nearest, needs_on, text
from moorage_scheduler.filters.card_needs import CardNeeds


class CapabilityRule(CardRule):
    """The card is new enough for the engine, and for what the model computes in."""

    reason = PlacementReason.COMPUTE_CAPABILITY_TOO_LOW
    transient = False

    def admits(self, snapshot: Snapshot, request: Request) -> Mask:
        """Returns which cards are new enough. One whose capability is not known is."""
        return admitted(snapshot, request, snapshot.columns.capability, _limit)

    def reject(self, snapshot: Snapshot, request: Request, slot: int) -> Rejection:
        """Returns the capability that would do, and the best that the worker has."""
        card = nearest(snapshot, request, slot, self.admits(snapshot, request), lambda card: card.capability)
        needs = needs_on(snapshot, request, slot, card.kind)
        what = request.quantization or (request.vllm.dtype or "the engine").lower()
        if not needs.supported:
            return Rejection(
                reason=self.reason,
                needed=f"cards that compute {what}",
                available=card.kind.value,
                remedy=f"choose another quantisation than {what}, or a worker with other cards",
            )
        return Rejection(
            reason=self.reason,
            needed=text(needs.min_capability),
            available=text(card.capability),
            remedy=f"{what} needs cards of compute capability {text(needs.min_capability)} or higher",
        )


def _limit(needs: CardNeeds) -> int:
    if not needs.supported:
        return IMPOSSIBLE
    return number(needs.min_capability)
