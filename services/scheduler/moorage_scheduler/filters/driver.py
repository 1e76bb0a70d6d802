"""Cards whose driver is older than the engine needs."""

from moorage_scheduler.core.versions import number
from moorage_scheduler.filters.base import CardRule, Mask, PlacementReason, Rejection, Request, Snapshot
from moorage_scheduler.filters.card_limits import admitted, nearest, needs_on, text
from moorage_scheduler.filters.card_needs import CardNeeds


class DriverRule(CardRule):
    """The card's driver is new enough for the engine."""

    reason = PlacementReason.DRIVER_TOO_OLD
    transient = False

    def admits(self, snapshot: Snapshot, request: Request) -> Mask:
        """Returns which cards have such a driver. One whose version is not known is new enough."""
        return admitted(snapshot, request, snapshot.columns.driver, _limit)

    def reject(self, snapshot: Snapshot, request: Request, slot: int) -> Rejection:
        """Returns the version that would do, and the worker's."""
        worker = snapshot.rows.at(slot)
        card = nearest(snapshot, request, slot, self.admits(snapshot, request), lambda card: card.driver)
        needed = text(needs_on(snapshot, request, slot, card.kind).min_driver)
        return Rejection(
            reason=self.reason,
            needed=needed,
            available=text(card.driver),
            remedy=f"update the driver of {worker.name} to {needed} or later",
        )


def _limit(needs: CardNeeds) -> int:
    return number(needs.min_driver) if needs.min_driver else 0
