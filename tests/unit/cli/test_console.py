import io

from rich.console import Console

from moorage_cli.console import print_rows
from moorage_cli.views.tables import Rows


def printed(rows: Rows, width: int) -> list[str]:
    written = io.StringIO()
    print_rows(Console(file=written, width=width), rows)
    return [line.rstrip() for line in written.getvalue().splitlines()]


def test_a_narrow_terminal_costs_a_table_no_letters() -> None:
    rows = Rows(("WORKER", "STATE", "AGENT"), (("a-long-name", "READY, cordoned", "127.0.0.1:7603"),))
    assert printed(rows, 20) == [
        "WORKER       STATE            AGENT",
        "a-long-name  READY, cordoned  127.0.0.1:7603",
    ]


def test_the_last_column_is_folded_to_what_there_is() -> None:
    assert printed(Rows(("A", "WHY"), (("x", "word " * 12),)), 50) == [
        "A  WHY",
        "x  word word word word word word word word word",
        "   word word word",
    ]
