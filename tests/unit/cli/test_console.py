import io
import json
import sys

import pytest
import yaml
from rich.console import Console

from moorage.registry.v1.model_pb2 import DesiredState, Model
from moorage_cli.console import make_console, picture, print_page, show, show_next
from moorage_cli.results import Item, Output, Result
from moorage_cli.terminal import tolerate_any_encoding
from moorage_cli.views.page import Bar, Line, Page, Rows, filled

MODEL = Model(name="models/a", desired_state=DesiredState.DESIRED_STATE_RUNNING, labels={"née": "…"})


def printed(page: Page, width: int) -> list[str]:
    written = io.StringIO()
    print_page(Console(file=written, width=width), page)
    return [line.rstrip() for line in written.getvalue().splitlines()]


def test_a_narrow_terminal_costs_a_table_no_letters() -> None:
    rows = Rows(("WORKER", "STATE", "AGENT"), (("a-long-name", "READY, cordoned", "127.0.0.1:7603"),))
    assert printed([rows], 20) == [
        "WORKER       STATE            AGENT",
        "a-long-name  READY, cordoned  127.0.0.1:7603",
    ]


def test_the_last_column_is_folded_to_what_there_is() -> None:
    assert printed([Rows(("A", "WHY"), (("x", "word " * 12),))], 50) == [
        "A  WHY",
        "x  word word word word word word word word word",
        "   word word word",
    ]


def test_what_is_shown_again_and_again_is_cut_to_the_window_at_its_end() -> None:
    written = io.StringIO()
    rows = Rows(("NAME", "WHY"), (("tiny/a1b2", "word " * 12),), indent=2)
    shown = picture([Line("a line of words that is long"), rows], width=24)
    Console(file=written, width=24).print(shown)
    assert [line.rstrip() for line in written.getvalue().splitlines()] == [
        "a line of words that is…",
        "  NAME       WHY",
        "  tiny/a1b2  word word …",
    ]


def test_a_bar_shows_who_takes_how_much() -> None:
    bar = Bar(claimed=50, foreign=25, reserved=0, total=100)
    assert printed([Rows(("B",), ((bar,),))], 80)[1] == "█" * 5 + "▒" * 2 + "░" * 3


@pytest.mark.parametrize(
    ("bar", "cells"),
    [
        (Bar(claimed=0, foreign=0, reserved=0, total=100), (0, 0, 0)),
        (Bar(claimed=1, foreign=0, reserved=0, total=1000), (1, 0, 0)),
        (Bar(claimed=99, foreign=0, reserved=0, total=100), (9, 0, 0)),
        (Bar(claimed=50, foreign=30, reserved=20, total=100), (5, 3, 2)),
        (Bar(claimed=60, foreign=60, reserved=10, total=100), (6, 4, 0)),
        (Bar(claimed=0, foreign=0, reserved=0, total=0), (0, 0, 0)),
    ],
    ids=["empty", "a little", "nearly full", "full", "more than there is", "no such thing"],
)
def test_a_bar_neither_hides_a_little_nor_what_is_free(bar: Bar, cells: tuple[int, ...]) -> None:
    assert filled(bar, 10) == cells


RESULT = Result(data={"models": [MODEL]}, names=["models/a"], page=[Line("a")], nothing="none")
AS_DATA = {
    "models": [
        {"name": "models/a", "labels": {"née": "…"}, "desired_state": "DESIRED_STATE_RUNNING"},
    ]
}


def test_each_format_of_a_result(capsys: pytest.CaptureFixture[str]) -> None:
    show(Output.JSON, RESULT)
    assert json.loads(capsys.readouterr().out) == AS_DATA
    show(Output.YAML, RESULT)
    assert yaml.safe_load(capsys.readouterr().out) == AS_DATA
    show(Output.NAME, RESULT)
    assert capsys.readouterr().out == "models/a\n"
    show(Output.TABLE, RESULT)
    assert capsys.readouterr().out == "a\n"


def test_an_empty_result_is_said_beside_what_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    show(Output.TABLE, Result(data={}, nothing="There is none."))
    assert capsys.readouterr() == ("", "There is none.\n")


def test_each_format_of_a_stream(capsys: pytest.CaptureFixture[str]) -> None:
    item = Item(data=MODEL, name="models/a", page=[Line("changed")])
    for _ in range(2):
        show_next(Output.JSON, item)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == AS_DATA["models"] * 2
    for _ in range(2):
        show_next(Output.YAML, item)
    assert list(yaml.safe_load_all(capsys.readouterr().out)) == AS_DATA["models"] * 2
    show_next(Output.NAME, item)
    show_next(Output.TABLE, item)
    assert capsys.readouterr().out == "models/a\nchanged\n"


def test_a_terminal_without_unicode_gets_substitutes_and_programs_the_same_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    tolerate_any_encoding()
    print_page(
        make_console(),
        [Line("STARTING → RUNNING…"), Rows(("B",), ((Bar(claimed=1, foreign=0, reserved=0, total=2),),))],
    )
    show(Output.JSON, RESULT)
    sys.stdout.flush()
    text = raw.getvalue().decode("ascii")
    assert text.startswith("STARTING -> RUNNING...\n")
    assert "#####....." in text
    assert json.loads(text[text.index("{") :]) == AS_DATA
