"""The look of everything that is printed. What was asked for goes to stdout, what goes on to stderr."""

import json
import sys
from collections.abc import Mapping

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.cells import cell_len
from rich.console import Console
from rich.highlighter import NullHighlighter
from rich.table import Table
from rich.text import Text

from moorage_cli.views.milestones import Mark
from moorage_cli.views.tables import Rows

_MARKS = {
    Mark.DONE: ("✓", "+", "green"),
    Mark.WAITING: ("·", "-", "yellow"),
    Mark.TROUBLE: ("!", "!", "yellow"),
}
_STATE_STYLES = {
    "RUNNING": "green",
    "READY": "green",
    "PENDING": "yellow",
    "FETCHING": "cyan",
    "FETCHED": "cyan",
    "STARTING": "cyan",
    "ERROR": "red",
    "FAILED": "red",
    "UNREACHABLE": "red",
}
_LABEL_WIDTH = 11
_LEAST_LAST_COLUMN = 40
_COLUMN_GAP = 2


def make_console(*, stderr: bool = False) -> Console:
    """Returns a console on stdout or stderr that prints words as they are and wraps nothing in a pipe."""
    console = Console(stderr=stderr, highlighter=NullHighlighter(), soft_wrap=False)
    if not console.is_terminal:
        # Nobody reads a log in a window of 80 columns; greps should find whole lines.
        console.width = 500
    return console


def print_milestone(console: Console, mark: Mark, label: str, text: str) -> None:
    """Prints one line: a mark, a word, what there is to tell."""
    sign, ascii_sign, style = _MARKS[mark]
    line = Text("  ")
    line.append(ascii_sign if console.options.ascii_only else sign, style=style)
    line.append(f" {label:<{_LABEL_WIDTH}} ", style="bold")
    line.append(text)
    console.print(line)


def print_rows(console: Console, rows: Rows) -> None:
    """Prints a table; state words have their colours."""
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    for position, column in enumerate(rows.columns):
        last = position == len(rows.columns) - 1
        table.add_column(column, no_wrap=not last, overflow="fold")
    for cells in rows.cells:
        table.add_row(*(Text(cell, style=_STATE_STYLES.get(cell, "")) for cell in cells))
    # A terminal wraps lines that are too long for it; a table made to fit would lose letters and columns.
    console.width = max(console.width, _least_width(rows))
    console.print(table)


def _least_width(rows: Rows) -> int:
    """Returns how many cells a table needs if nothing but its last column is folded, and that not to shreds."""
    lines = (rows.columns, *rows.cells)
    widths = [
        max(cell_len(part) for line in lines for part in line[position].split("\n"))
        for position in range(len(rows.columns))
    ]
    return sum(widths[:-1]) + min(widths[-1], _LEAST_LAST_COLUMN) + _COLUMN_GAP * (len(widths) - 1)


def print_json(value: object) -> None:
    """Prints messages, or lists and mappings of them, to stdout as JSON with the protos' field names."""
    json.dump(_plain(value), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def _plain(value: object) -> object:
    if isinstance(value, Message):
        return MessageToDict(value, preserving_proto_field_name=True)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
