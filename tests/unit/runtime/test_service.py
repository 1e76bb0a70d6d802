"""Real processes, real signals."""

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator

import pytest

Start = Callable[..., subprocess.Popen[str]]

PROGRAM = """
import asyncio, sys
from pydantic_settings import SettingsConfigDict
from moorage_common.core.errors import Unavailable
from moorage_common.runtime.config import ServiceSettings
from moorage_common.runtime.service import Process, run_service

class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="MOORAGE_HARBOUR_", cli_prog_name="moorage-harbour")

def say(word):
    print(word, flush=True)

async def serve(settings: Settings, process: Process) -> None:
{body}

sys.exit(run_service(Settings, serve))
"""


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def start(body: str, *arguments: str) -> subprocess.Popen[str]:
        program = PROGRAM.format(body=textwrap.indent(textwrap.dedent(body), "    "))
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


SERVING = """
    try:
        process.tasks.start("background", asyncio.Event().wait)
        say("serving")
        await process.until_stopped()
    finally:
        await asyncio.sleep(0.01)
        say("drained")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_with_zero(start: Start, number: signal.Signals) -> None:
    process = start(SERVING)
    assert process.stdout is not None
    assert process.stdout.readline() == "serving\n"
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == ("drained\n", 0)


def test_a_signal_during_the_start_cancels_it_and_ends_with_zero(start: Start) -> None:
    process = start(
        """
        try:
            say("waiting for the database")
            await asyncio.Event().wait()
        finally:
            say("cleaned up")
        """
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting for the database\n"
    process.terminate()
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == ("cleaned up\n", 0)


def test_a_second_signal_ends_a_drain_that_hangs(start: Start) -> None:
    process = start(
        """
        say("serving")
        await process.until_stopped()
        say("draining")
        await asyncio.Event().wait()
        """
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "serving\n"
    process.terminate()
    assert process.stdout.readline() == "draining\n"
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_what_a_person_can_mend_is_one_line_and_no_traceback(start: Start) -> None:
    process = start('raise Unavailable("port 1 is taken", remedy="Choose another.")')
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err == "moorage-harbour: port 1 is taken Choose another.\n"


def test_a_defect_is_logged_with_its_traceback(start: Start) -> None:
    process = start('raise ZeroDivisionError("oops")', "--log-format", "json")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "ZeroDivisionError: oops" in err
    assert err.startswith("{")


def test_wrong_settings_end_with_two(start: Start) -> None:
    process = start("pass", "--drain-grace-s", "-1")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert err.startswith("moorage-harbour: bad settings: --drain-grace-s")
    assert err.count("\n") == 1
