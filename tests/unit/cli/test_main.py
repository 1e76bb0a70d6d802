"""What `moor --help` says of itself, and what it costs."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from moorage_cli.exits import MEANINGS
from moorage_cli.main import app

README = (Path(__file__).parents[3] / "README.md").read_text()


def commands() -> Iterator[tuple[str, ...]]:
    """Every command, by the words that it is called with."""
    top = typer.main.get_command(app)
    for name, command in top.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        if inner is None:
            yield (name,)
        else:
            yield from ((name, each) for each in inner)


def said(*words: str) -> str:
    result = CliRunner().invoke(app, words, env={"COLUMNS": "80", "TERMINAL_WIDTH": "80", "NO_COLOR": "1"})
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_has_examples_of_itself_that_fit_a_terminal(words: tuple[str, ...]) -> None:
    lines = said(*words, "--help").splitlines()
    assert max(len(line) for line in lines) <= 80
    shown = [
        line.strip() for line in lines[next(at for at, line in enumerate(lines) if "Examples:" in line) :]
    ]
    examples = [line for line in shown if f"moor {' '.join(words)}" in line]
    assert examples
    # None was wrapped: every line below the heading is an example, or empty.
    assert [line for line in shown[1:] if line] == examples


def test_help_groups_commands_and_has_one_line_for_each() -> None:
    lines = said("--help").splitlines()
    assert max(len(line) for line in lines) <= 80
    panels = [match[1] for line in lines if (match := re.match(r"╭─ (\w+) ─", line))]
    assert panels == ["Options", "Models", "Workers", "Artifacts", "Mesh", "Contexts"]
    below = lines[next(at for at, line in enumerate(lines) if "─ Models ─" in line) :]
    for line in below:
        if line.startswith("│"):
            assert re.match(r"│ \w+ +\w", line), "a description is wrapped"


def test_help_and_the_readme_say_the_exit_codes_in_the_same_words() -> None:
    told = said("--help")
    for code, meaning in MEANINGS.items():
        assert re.search(rf"(?m)^ *{code}  {re.escape(meaning)} *$", told)
        assert f"| {code} | {meaning} |" in README


def test_help_waits_for_no_heavy_imports() -> None:
    program = "import sys, moorage_cli.main; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    heavy = {"grpc", "google.protobuf", "yaml", "asyncio", "aiohttp", "opentelemetry", "moorage", "rich.live"}
    assert not heavy & set(loaded.split())


def complete(*words: str, **environment: str) -> list[str]:
    result = subprocess.run(
        [Path(sys.executable).with_name("moor")],
        env={
            **os.environ,
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1),
            "_MOOR_COMPLETE": "complete_bash",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert result.stderr == ""
    return result.stdout.split()


def test_a_shell_completes_commands_and_options() -> None:
    assert complete("moor", "sta") == ["start"]
    assert complete("moor", "context", "s") == ["show", "set"]
    assert complete("moor", "ps", "-o", "") == ["table", "json", "yaml", "name"]


def test_a_mesh_that_is_away_completes_nothing_silently(tmp_path: Path) -> None:
    away = {"XDG_CONFIG_HOME": str(tmp_path), "MOORAGE_HOME": str(tmp_path)}
    assert complete("moor", "stop", "", **away) == []
    assert complete("moor", "stop", "", MOORAGE_REGISTRY="127.0.0.1:9", **away) == []
    (tmp_path / "moorage").mkdir()
    (tmp_path / "moorage/contexts.json").write_text("{")
    assert complete("moor", "ps", "--context", "", **away) == []
