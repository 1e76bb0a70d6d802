from pathlib import Path

import pytest

from moorage_cli.launcher.supervisor import describe_exit, last_log_line


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, "exit code 0"), (1, "exit code 1"), (-9, "killed by SIGKILL"), (-250, "killed by signal 250")],
)
def test_how_a_process_ended(status: int, words: str) -> None:
    assert describe_exit(status) == words


def test_the_last_line_that_says_something(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 10_000 + b"\nfirst\nlast \xff words\n\n  \n")
    assert last_log_line(log) == "last \ufffd words"
    log.write_bytes(b"")
    assert last_log_line(log) == ""
