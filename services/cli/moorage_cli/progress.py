"""Shows milestones as lines and transfers as bars; without a terminal, lines alone."""

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
)

from moorage_cli.console import picture, print_milestone
from moorage_cli.views.milestones import Mark, Milestone, Transfer
from moorage_cli.views.page import Page
from moorage_cli.views.words import duration, size

_LINE_EVERY_S = 2.0


class ProgressView:
    """Tells every milestone once, and keeps a bar for every transfer that goes on.

    Args:
        console: Where to.
        monotonic: Seconds, to space the lines that stand in for bars.
    """

    def __init__(self, console: Console, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._monotonic = monotonic
        self._told: set[Milestone] = set()
        self._bars: dict[str, TaskID] = {}
        self._last_line: dict[str, float] = {}
        self._progress = Progress(
            TextColumn("    {task.description}"),
            BarColumn(bar_width=30),
            DownloadColumn(binary_units=True),
            TextColumn("{task.fields[rate]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, milestones: Iterable[Milestone], transfers: Iterable[Transfer]) -> None:
        """Brings what is shown up to date."""
        current = {transfer.label: transfer for transfer in transfers}
        for label in self._bars.keys() - current.keys():
            self._progress.remove_task(self._bars.pop(label))
            # Or the lines printed next would show the bar once more, below them.
            self._progress.refresh()
        for milestone in milestones:
            if milestone not in self._told:
                self._told.add(milestone)
                print_milestone(self._console, milestone.mark, milestone.label, milestone.text)
        for transfer in current.values():
            self._show_transfer(transfer)

    def _show_transfer(self, transfer: Transfer) -> None:
        if not self._console.is_terminal:
            self._show_line(transfer)
            return
        rate = _rate(transfer)
        total = transfer.size_bytes or None
        if transfer.label not in self._bars:
            self._bars[transfer.label] = self._progress.add_task(transfer.label, total=total, rate=rate)
        self._progress.update(
            self._bars[transfer.label], completed=transfer.done_bytes, total=total, rate=rate
        )

    def _show_line(self, transfer: Transfer) -> None:
        now = self._monotonic()
        if now - self._last_line.get(transfer.label, now - _LINE_EVERY_S) < _LINE_EVERY_S:
            return
        self._last_line[transfer.label] = now
        rate = _rate(transfer)
        text = f"{size(transfer.done_bytes)} of {size(transfer.size_bytes)} {transfer.label}"
        text += f", {rate}" if rate else ""
        print_milestone(self._console, Mark.WAITING, "fetching", text)


def _rate(transfer: Transfer) -> str:
    """The speed as the mesh measured it, and how long the rest takes at that; empty when not known."""
    per_second = transfer.bytes_per_second
    if not per_second:
        return ""
    return f"{size(per_second)}/s, {duration((transfer.size_bytes - transfer.done_bytes) / per_second)} left"


class PageView:
    """Tells every milestone once, and on a terminal keeps below them how things stand.

    Args:
        console: Where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: set[Milestone] = set()
        self._live = Live(console=console, transient=True, auto_refresh=False)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, milestones: Iterable[Milestone], standing: Page) -> None:
        """Brings what is shown up to date."""
        for milestone in milestones:
            # On a terminal what waits is seen below.
            seen_below = self._console.is_terminal and milestone.mark is Mark.WAITING
            if milestone not in self._told and not seen_below:
                self._told.add(milestone)
                print_milestone(self._console, milestone.mark, milestone.label, milestone.text)
        if self._console.is_terminal:
            self._live.update(picture(standing, width=self._console.width), refresh=True)
