"""The look of everything that is printed. What was asked for goes to stdout, what goes on to stderr.

This is the one place that knows the formats of results.
"""

import json
import sys
from collections.abc import Callable, Mapping

import yaml
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.highlighter import NullHighlighter
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from moorage_cli.results import Item, Output, Result
from moorage_cli.terminal import has_unicode
from moorage_cli.views.milestones import Mark
from moorage_cli.views.page import Bar, Block, Cell, Line, Page, Rows, Tone, filled

_MARKS = {
    Mark.DONE: ("✓", "+", "green"),
    Mark.WAITING: ("·", "-", "yellow"),
    Mark.TROUBLE: ("!", "!", "yellow"),
}
_STATE_STYLES = {
    "RUNNING": "green",
    "READY": "green",
    "COMPLETE": "green",
    "PENDING": "yellow",
    "STOPPING": "yellow",
    "RESOLVING": "cyan",
    "FETCHING": "cyan",
    "FETCHED": "cyan",
    "STARTING": "cyan",
    "ERROR": "red",
    "FAILED": "red",
    "BLOCKED": "red",
    "UNREACHABLE": "red",
    "DELETING": "yellow",
}
_TONES = {Tone.PLAIN: "", Tone.STRONG: "bold", Tone.QUIET: "dim", Tone.TROUBLE: "yellow"}
_BAR_PARTS = (("█", "green"), ("▒", "yellow"), ("▚", "dim"))
"""How what is claimed, foreign and reserved looks, in this order."""
_BAR_FREE = ("░", "dim")
_BAR_WIDTH = 10
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


def show(output: Output, result: Result) -> None:
    """Prints what a command has found, as it was asked for."""
    _SHOW[output](result)


def _show_page(result: Result) -> None:
    if result.page:
        print_page(make_console(), result.page)
    elif result.nothing:
        make_console(stderr=True).print(Text(result.nothing))


def _show_json(result: Result) -> None:
    json.dump(_plain(result.data), sys.stdout, indent=2, ensure_ascii=not has_unicode())
    sys.stdout.write("\n")


def _show_yaml(result: Result) -> None:
    sys.stdout.write(_yaml(result.data))


def _show_names(result: Result) -> None:
    for name in result.names:
        sys.stdout.write(f"{name}\n")


_SHOW: Mapping[Output, Callable[[Result], None]] = {
    Output.TABLE: _show_page,
    Output.JSON: _show_json,
    Output.YAML: _show_yaml,
    Output.NAME: _show_names,
}


def show_next(output: Output, item: Item) -> None:
    """Prints one of a stream of results: a line of JSON, a document of YAML, a name, or what people read."""
    match output:
        case Output.TABLE:
            print_page(make_console(), item.page)
        case Output.JSON:
            sys.stdout.write(json.dumps(_plain(item.data), ensure_ascii=not has_unicode()) + "\n")
        case Output.YAML:
            sys.stdout.write(f"---\n{_yaml(item.data)}")
        case Output.NAME:
            sys.stdout.write(f"{item.name}\n")
    # Whoever reads by a pipe waits for every one.
    sys.stdout.flush()


def print_page(console: Console, page: Page) -> None:
    """Prints lines and tables; state words have their colours."""
    for block in page:
        if isinstance(block, Rows):
            # A terminal wraps lines that are too long for it; a table made to fit would lose letters and columns.
            console.width = max(console.width, _least_width(block))
        console.print(_drawn(block))


def picture(page: Page, *, width: int) -> RenderableType:
    """Returns a page to be shown again and again in a window: what is too wide for it is cut off."""
    return Group(*(_drawn(block, cut_to=width) for block in page))


def print_milestone(console: Console, mark: Mark, label: str, text: str) -> None:
    """Prints one line: a mark, a word, what there is to tell."""
    sign, ascii_sign, style = _MARKS[mark]
    line = Text("  ")
    line.append(ascii_sign if console.options.ascii_only else sign, style=style)
    line.append(f" {label:<{_LABEL_WIDTH}} ", style="bold")
    line.append(text)
    console.print(line)


def _drawn(block: Block, *, cut_to: int | None = None) -> RenderableType:
    if isinstance(block, Line):
        if cut_to is None:
            return Text(block.text, style=_TONES[block.tone])
        return Text(block.text, style=_TONES[block.tone], no_wrap=True, overflow="ellipsis")
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    widths = _widths(block)
    for position, column in enumerate(block.columns):
        if position < len(widths) - 1:
            # What does not fit in a window is cut off at its edge, not from every column.
            table.add_column(column, no_wrap=True, min_width=widths[position])
        elif cut_to is None:
            table.add_column(column, overflow="fold")
        else:
            # Or the other columns would give way to a long last one.
            left = max(cut_to - block.indent - sum(widths[:-1]) - _COLUMN_GAP * position, len(column))
            table.add_column(column, no_wrap=True, overflow="ellipsis", max_width=left)
    for cells in block.cells:
        table.add_row(*(_drawn_cell(cell) for cell in cells))
    return Padding(table, (0, 0, 0, block.indent), expand=False)


def _drawn_cell(cell: Cell) -> Text:
    if isinstance(cell, str):
        return Text(cell, style=_STATE_STYLES.get(cell.split(",")[0], ""))
    text = Text()
    for count, (sign, style) in zip(filled(cell, _BAR_WIDTH), _BAR_PARTS, strict=True):
        text.append(sign * count, style=style)
    text.append(_BAR_FREE[0] * (_BAR_WIDTH - len(text)), style=_BAR_FREE[1])
    return text


def _least_width(rows: Rows) -> int:
    """Returns how many cells a table needs if nothing but its last column is folded, and that not to shreds."""
    widths = _widths(rows)
    gaps = _COLUMN_GAP * (len(widths) - 1)
    return rows.indent + sum(widths[:-1]) + min(widths[-1], _LEAST_LAST_COLUMN) + gaps


def _widths(rows: Rows) -> list[int]:
    """Returns how many cells each column needs."""
    lines = (rows.columns, *rows.cells)
    return [max(_cell_width(line[position]) for line in lines) for position in range(len(rows.columns))]


def _cell_width(cell: Cell) -> int:
    return _BAR_WIDTH if isinstance(cell, Bar) else max(cell_len(part) for part in cell.split("\n"))


def _yaml(value: object) -> str:
    return yaml.safe_dump(_plain(value), sort_keys=False, allow_unicode=has_unicode())


def _plain(value: object) -> object:
    if isinstance(value, Message):
        return MessageToDict(value, preserving_proto_field_name=True)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
