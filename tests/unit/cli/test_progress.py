import errno
import io

import pytest
from rich.console import Console

from moorage_cli.failures import exit_code, of_system, print_error
from moorage_cli.progress import PageView, ProgressView
from moorage_cli.views.milestones import Mark, Milestone, Transfer
from moorage_cli.views.page import Page, Rows
from moorage_common.core.errors import (
    AlreadyExists,
    ErrorReason,
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    MoorageError,
    NotFound,
    ResourceExhausted,
    Shortage,
    Unavailable,
    Unimplemented,
)


def piped() -> tuple[Console, io.StringIO]:
    written = io.StringIO()
    return Console(file=written, width=200), written


def test_a_milestone_is_told_once() -> None:
    console, written = piped()
    milestone = Milestone(Mark.DONE, "resolved", "1 file [red]")
    with ProgressView(console) as view:
        view.show([milestone], [])
        view.show([milestone, Milestone(Mark.TROUBLE, "pull", "slow")], [])
    assert written.getvalue().splitlines() == ["  ✓ resolved    1 file [red]", "  ! pull        slow"]


def test_without_a_terminal_transfers_are_lines_now_and_then() -> None:
    console, written = piped()
    clock = iter([0.0, 1.0, 2.5])
    with ProgressView(console, monotonic=lambda: next(clock)) as view:
        for done in (0, 1024, 2048):
            view.show([], [Transfer("onto workers/w", done, 4096, 512)])
    assert written.getvalue().splitlines() == [
        "  · fetching    0 B of 4.00 KiB onto workers/w, 512 B/s, 8.0 s left",
        "  · fetching    2.00 KiB of 4.00 KiB onto workers/w, 512 B/s, 4.0 s left",
    ]


def test_on_a_terminal_transfers_are_bars_that_go_away() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=100, _environ={"TERM": "xterm"})
    with ProgressView(console) as view:
        view.show([], [Transfer("onto workers/w", 1024, 4096, 512)])
        view._progress.refresh()
        assert "onto workers/w" in written.getvalue()
        view.show([], [])
        assert view._progress.tasks == []


def standing(text: str) -> Page:
    return [Rows(("STILL THERE",), ((text,),))]


def test_on_a_terminal_how_things_stand_is_seen_below_what_is_over() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=60, _environ={"TERM": "xterm"})
    with PageView(console) as view:
        view.show([Milestone(Mark.WAITING, "moving", "tiny/a")], standing("tiny/a MOVING"))
        assert "tiny/a MOVING" in written.getvalue()
        assert "moving      tiny/a" not in written.getvalue()
        view.show([Milestone(Mark.DONE, "gone", "tiny/a")], [])
    assert "gone" in written.getvalue()


def test_without_a_terminal_each_step_is_a_line() -> None:
    console, written = piped()
    with PageView(console) as view:
        for _ in range(2):
            view.show([Milestone(Mark.WAITING, "moving", "tiny/a")], standing("tiny/a MOVING"))
        view.show([Milestone(Mark.DONE, "gone", "tiny/a")], [])
    assert written.getvalue().splitlines() == ["  · moving      tiny/a", "  ✓ gone        tiny/a"]


def test_errors_are_told_with_reason_and_remedy() -> None:
    console, written = piped()
    print_error(console, NotFound("no such model", remedy="See 'moor ps'."))
    print_error(
        console,
        InvalidArgument(
            "bad request", violations=[FieldViolation(field="model.replicas", description="< 0")]
        ),
    )
    print_error(
        console,
        ResourceExhausted("no room", shortages=[Shortage(subject="pools/ram", description="needs 2 GiB")]),
    )
    print_error(
        console,
        InvalidArgument("id is invalid: too long", violations=[FieldViolation("id", "too long")]),
    )
    assert written.getvalue().splitlines() == [
        "error: no such model",
        "reason: RESOURCE_NOT_FOUND",
        "remedy: See 'moor ps'.",
        "error: bad request",
        "  model.replicas: < 0",
        "reason: INVALID_REQUEST",
        "error: no room",
        "  pools/ram: needs 2 GiB",
        "reason: SERVER_BUSY",
        "error: id is invalid: too long",
        "reason: INVALID_REQUEST",
    ]


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (NotFound("no", resource="models/tiny/instances/a1"), "'moor ps' shows what there is."),
        (NotFound("no", resource="workers/w"), "'moor workers' shows which there are."),
        (
            AlreadyExists("taken", resource="models/tiny"),
            "Give another one with --name, or remove that one with 'moor delete tiny'.",
        ),
        (
            FailedPrecondition("held", reason=ErrorReason.WORKER_IN_USE, resource="workers/w"),
            "Empty it first: moor drain w. Or say --force, if the node is gone for good.",
        ),
        (Unimplemented("none"), "The service is older than this moor: bring both to one version."),
        (Unavailable("away"), "Is the mesh up?"),
    ],
)
def test_what_came_without_a_remedy_gets_the_one_that_moor_has(error: MoorageError, remedy: str) -> None:
    console, written = piped()
    print_error(console, error)
    assert f"remedy: {remedy}" in written.getvalue()


def test_a_source_that_is_away_is_not_taken_for_the_mesh() -> None:
    console, written = piped()
    print_error(console, Unavailable("the hub is away", reason=ErrorReason.SOURCE_UNAVAILABLE))
    assert "moor up" not in written.getvalue()


def test_exit_codes_tell_a_refusal_from_a_mesh_that_is_away() -> None:
    assert exit_code(NotFound("no")) == 1
    assert exit_code(Unavailable("away")) == 4
    assert exit_code(Unavailable("the hub is away", reason=ErrorReason.SOURCE_UNAVAILABLE)) == 1


def test_what_the_system_refuses_has_a_reason() -> None:
    denied = of_system(PermissionError(errno.EACCES, "Permission denied", "/x/mesh.json"))
    assert (denied.message, denied.reason) == (
        "Permission denied: /x/mesh.json",
        ErrorReason.PERMISSION_DENIED,
    )
    assert of_system(OSError(errno.ENOSPC, "No space left on device")).reason is ErrorReason.DISK_FULL
