"""Reports on their way to the registry: the latest of each thing, until it was taken.

Nothing is queued: a report that a newer one has overtaken is never sent. What was taken is told again
after a while, so that a registry which lost or missed something gets to the same place. Soon, where the
registry may have to do something about it, and could not when it heard of it: free the claims of an
instance that stopped (it may have been started and stopped again since), pull a blob anew.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from moorage_agent.core.pacing import Pacer
from moorage_agent.core.reports import CopyReport, InstanceReport
from moorage_common.core.states import CopyState, InstanceState

Report = InstanceReport | CopyReport
Key = tuple[str, str]

_AGAIN_S = 300.0
_SOON_AGAIN_S = 3.0
_RETRY_S = 1.0
_ASKS_FOR_SOMETHING = frozenset({InstanceState.STOPPED, CopyState.FAILED})


@dataclass(slots=True)
class _Item:
    report: Report
    taken: Report | None = None
    """What the registry has taken last."""
    not_before: float = 0.0
    again_at: float = 0.0
    sending: bool = False
    # Never more than two writes a second per copy. One is left for what instances wait for: the end.
    pacer: Pacer = field(default_factory=lambda: Pacer(times=2, per_s=1.0))
    progress_pacer: Pacer = field(default_factory=lambda: Pacer(times=1, per_s=1.0))


class Outbox:
    """What is to be reported, and when. Time is given, so that it can be any."""

    def __init__(self) -> None:
        self._items: dict[Key, _Item] = {}

    def put(self, reports: Iterable[Report]) -> None:
        """Replaces what is to be reported. What is not among the reports is of interest no more."""
        latest = {_key(report): report for report in reports}
        for key in self._items.keys() - latest.keys():
            del self._items[key]
        for key, report in latest.items():
            item = self._items.setdefault(key, _Item(report))
            item.report = report

    def clear_taken(self) -> None:
        """Forgets what was taken: on a new line to the registry everything is told again."""
        for item in self._items.values():
            item.taken = None

    def due(self, *, now: float) -> list[Report]:
        """Returns the reports to send now, and counts them as being sent."""
        ready = [item for item in self._items.values() if not item.sending and self._due_at(item, now) <= now]
        for item in ready:
            item.sending = True
            item.pacer.sent(now=now)
            item.progress_pacer.sent(now=now)
        return [item.report for item in ready]

    def next_due(self, *, now: float) -> float | None:
        """Returns when to look again; None: when something changes."""
        return min(
            (self._due_at(item, now) for item in self._items.values() if not item.sending), default=None
        )

    def taken(self, report: Report, *, now: float) -> None:
        """Notes that the registry has taken a report, or wants to hear no more of it."""
        item = self._items.get(_key(report))
        if item is not None:
            item.sending = False
            item.taken = report
            item.again_at = now + (_SOON_AGAIN_S if report.state in _ASKS_FOR_SOMETHING else _AGAIN_S)

    def failed(self, report: Report, *, now: float) -> None:
        """Notes that a report did not get through: the latest is sent instead, a little later."""
        item = self._items.get(_key(report))
        if item is not None:
            item.sending = False
            item.not_before = now + _RETRY_S

    def _due_at(self, item: _Item, now: float) -> float:
        if item.report == item.taken:
            return item.again_at
        if isinstance(item.report, InstanceReport):
            return item.not_before
        due = max(item.not_before, item.pacer.next_at(now=now))
        return max(due, item.progress_pacer.next_at(now=now)) if _is_progress(item.report) else due


def _key(report: Report) -> Key:
    return ("instance", report.uid) if isinstance(report, InstanceReport) else ("copy", report.artifact)


def _is_progress(report: CopyReport) -> bool:
    return report.state not in {CopyState.READY, CopyState.FAILED}
