"""The supervisor, over real processes."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from moorage_cli.launcher import supervisor as supervisor_module
from moorage_cli.launcher.command import Command
from moorage_cli.launcher.events import ProcessEvent, ProcessEventKind
from moorage_cli.launcher.leash import leashed
from moorage_cli.launcher.supervisor import ProcessSpec, Supervisor
from moorage_common.core.errors import FailedPrecondition

SERVE = """
import pathlib, signal, sys, time
ready, order = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
def stop(*_):
    with order.open("a") as f: f.write(ready.name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("serving", ready.name, flush=True)
ready.write_text("")
while True: time.sleep(60)
"""
STUBBORN = SERVE.replace("sys.exit(0)", "pass")


class Fleet:
    """Makes specs for small programs, and keeps what the supervisor tells."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.events: list[ProcessEvent] = []
        self.order = root / "order"
        self.supervisors: list[Supervisor] = []

    def spec(self, name: str, program: str = SERVE, **settings: float) -> ProcessSpec:
        ready = self.root / name

        def command() -> Command:
            ready.unlink(missing_ok=True)
            return Command(argv=(sys.executable, "-c", program, str(ready), str(self.order)))

        async def is_ready(pid: int) -> bool:
            return ready.exists()

        return ProcessSpec(name=name, command=command, is_ready=is_ready, **settings)

    def supervisor(self, *stages: list[ProcessSpec]) -> Supervisor:
        made = Supervisor(
            stages=stages,
            run_dir=self.root / "run",
            log_dir=self.root / "logs",
            report=self.events.append,
        )
        self.supervisors.append(made)
        return made

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.02)

    def count(self, kind: ProcessEventKind, name: str) -> int:
        return sum(event.kind is kind and event.name == name for event in self.events)


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    fleet = Fleet(tmp_path)
    yield fleet
    for supervisor in fleet.supervisors:
        await supervisor.stop()


async def test_starts_in_order_and_stops_in_reverse(fleet: Fleet) -> None:
    supervisor = fleet.supervisor([fleet.spec("first")], [fleet.spec("second")], [fleet.spec("third")])
    await supervisor.start()
    assert [event.name for event in fleet.events] == ["first", "second", "third"]
    pids = supervisor.pids()
    await supervisor.stop()
    assert fleet.order.read_text().split() == ["third", "second", "first"]
    assert not any(psutil.pid_exists(pid) for pid in pids.values())
    assert list((fleet.root / "run").iterdir()) == []


async def test_restarts_what_was_killed_and_says_how_it_died(fleet: Fleet) -> None:
    supervisor = fleet.supervisor([fleet.spec("one")])
    await supervisor.start()
    os.kill(supervisor.pids()["one"], signal.SIGKILL)
    await fleet.until(lambda: fleet.count(ProcessEventKind.READY, "one") == 2)
    (death,) = [event for event in fleet.events if event.kind is ProcessEventKind.DIED]
    assert (death.detail, death.last_line) == ("killed by SIGKILL", "")
    await supervisor.stop()


async def test_what_does_not_start_is_tried_thrice_then_said(fleet: Fleet) -> None:
    supervisor = fleet.supervisor([fleet.spec("one", "raise SystemExit('port 7600 is taken')")])
    with pytest.raises(
        FailedPrecondition, match="one did not start: exit code 1; its last words: port 7600 is taken"
    ):
        await supervisor.start()
    assert fleet.count(ProcessEventKind.DIED, "one") == 2
    await supervisor.stop()


async def test_what_takes_long_is_told_with_its_last_words(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "_TELL_EVERY_S", 0.2)
    program = "print('waiting for the database', flush=True); import time; time.sleep(1);" + SERVE
    supervisor = fleet.supervisor([fleet.spec("one", program)])
    await supervisor.start()
    waiting = [event for event in fleet.events if event.kind is ProcessEventKind.WAITING]
    assert waiting[-1].last_line == "waiting for the database"
    await supervisor.stop()


async def test_what_never_gets_ready_is_said(fleet: Fleet) -> None:
    program = "import time; print('waiting', flush=True); time.sleep(60)"
    supervisor = fleet.supervisor([fleet.spec("one", program, ready_within_s=1.0)])
    with pytest.raises(FailedPrecondition, match=r"one did not start: not ready after 1 s"):
        await supervisor.start()
    pid = supervisor.pids()["one"]
    await supervisor.stop()
    assert not psutil.pid_exists(pid)


async def test_a_command_that_cannot_be_prepared_fails_the_start(fleet: Fleet) -> None:
    def command() -> Command:
        raise FailedPrecondition("no such program")

    async def is_ready(pid: int) -> bool:
        return True

    supervisor = fleet.supervisor([ProcessSpec(name="one", command=command, is_ready=is_ready)])
    with pytest.raises(FailedPrecondition, match="no such program"):
        await supervisor.start()
    await supervisor.stop()


async def test_what_ignores_its_stop_signal_is_killed(fleet: Fleet) -> None:
    supervisor = fleet.supervisor([fleet.spec("one", STUBBORN, stop_grace_s=0.3)])
    await supervisor.start()
    pid = supervisor.pids()["one"]
    await supervisor.stop()
    assert not psutil.pid_exists(pid)


async def test_logs_are_appended(fleet: Fleet) -> None:
    for _ in range(2):
        supervisor = fleet.supervisor([fleet.spec("one")])
        await supervisor.start()
        await supervisor.stop()
    assert (fleet.root / "logs" / "one.log").read_text() == "serving one\n" * 2


def started_by_a_killed(program: str) -> psutil.Process:
    """Runs a program that starts a process and prints its number, and kills the program."""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        started = psutil.Process(int(process.stdout.readline()))
        process.kill()
    return started


@pytest.mark.parametrize("leashed", [True, False], ids=["leash", "records"])
async def test_what_a_killed_supervisor_left_ends(fleet: Fleet, leashed: bool) -> None:
    """By the leash at once (Linux), or by its record when the next supervisor starts."""
    if leashed and sys.platform != "linux":
        pytest.skip("no parent-death signal here")
    holder = textwrap.dedent(
        f"""
        import asyncio, sys
        from pathlib import Path
        from moorage_cli.launcher import supervisor
        from moorage_cli.launcher.command import Command
        root = Path({str(fleet.root)!r})
        if not {leashed}:
            supervisor.leashed = lambda argv, **_: list(argv)
        async def is_ready(pid): return (root / "one").exists()
        def command():
            return Command(argv=(sys.executable, "-c", {SERVE!r}, str(root / "one"), str(root / "order")))
        async def main():
            held = supervisor.Supervisor(
                stages=[[supervisor.ProcessSpec(name="one", command=command, is_ready=is_ready)]],
                run_dir=root / "run", log_dir=root / "logs", report=lambda event: None)
            await held.start()
            print(held.pids()["one"], flush=True)
            await asyncio.sleep(60)
        asyncio.run(main())
        """
    )
    left = started_by_a_killed(holder)
    if not leashed:
        assert left.is_running()
        supervisor = fleet.supervisor([fleet.spec("two")])
        await supervisor.start()
        await supervisor.stop()
    await fleet.until(lambda: not left.is_running() or left.status() == psutil.STATUS_ZOMBIE)


async def test_a_record_of_a_number_used_by_another_process_harms_nobody(fleet: Fleet) -> None:
    bystander = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(60)")
    run_dir = fleet.root / "run"
    run_dir.mkdir()
    (run_dir / "one.json").write_text(f'{{"pid": {bystander.pid}, "create_time": 1000.0}}')
    supervisor = fleet.supervisor([fleet.spec("one")])
    await supervisor.start()
    await supervisor.stop()
    assert bystander.returncode is None
    bystander.kill()
    await bystander.wait()


def test_a_leash_says_what_it_cannot_run() -> None:
    refused = subprocess.run(
        leashed(["/not/there"], death_signal=signal.SIGTERM), capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert refused.stderr == "cannot run /not/there: No such file or directory\n"


def test_a_leash_whose_holder_is_gone_runs_nothing(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    argv = leashed(["/bin/sh", "-c", f"touch {ran}"], death_signal=signal.SIGTERM)
    argv[argv.index("--parent") + 1] = "1"
    refused = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert not ran.exists()
