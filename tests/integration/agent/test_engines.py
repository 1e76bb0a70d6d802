"""Real llama.cpp processes under the engine manager."""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from agent_lab import IMPATIENT, EngineLab, assignment

from moorage_agent.core.domain import EnginePhase
from moorage_agent.core.environment import MARK
from moorage_agent.engines.adoption import find_leftovers
from moorage_agent.engines.process import EngineProcess, ProcessIdentity, find_marked
from moorage_common.core.errors import ErrorReason, NotFound
from moorage_common.core.placement import KvCacheType

Ask = Callable[[str], Awaitable[str]]


def broken_model(directory: Path, content: bytes | None, whole: Path) -> Path:
    path = directory / "broken.gguf"
    path.write_bytes(content or whole.read_bytes()[:200_000])
    return path


async def test_starts_answers_and_stops(lab: EngineLab, ask: Ask) -> None:
    manager = lab.manager()
    manager.start(assignment())
    status = await lab.until_running(manager)
    assert status.pid in manager.pids()
    assert (await ask(status.endpoint)).startswith(" Ahoy!")
    manager.stop("uid-1")
    assert manager.statuses()[0].phase is EnginePhase.STOPPING
    await lab.until_none(manager)
    assert ProcessIdentity.of(status.pid) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"not a model at all", "invalid magic"), (None, "not within the file bounds")],
    ids=["garbage", "truncated"],
)
async def test_a_model_that_does_not_load_says_why(
    lab: EngineLab, tiny_model: Path, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    lab.files.files["tiny-artifact", "tiny.gguf"] = broken_model(tmp_path, content, tiny_model)
    manager = lab.manager()
    manager.start(assignment())
    status = await lab.until_failed(manager)
    assert status.error is not None
    assert status.error.reason is ErrorReason.ENGINE_EXITED
    assert reason in status.error.message
    assert str(tmp_path) not in status.error.message
    assert (status.pid, status.failures) == (0, 1)


async def test_options_reach_the_engine(lab: EngineLab) -> None:
    manager = lab.manager()
    # The tiny model's heads are too narrow for blocks of 32: that llama.cpp says so shows that it was asked.
    manager.start(assignment(kv_cache_type=KvCacheType.Q8_0))
    status = await lab.until_failed(manager)
    assert status.error is not None
    assert "cache type q8_0" in status.error.message


async def test_a_killed_engine_can_be_started_again(lab: EngineLab, ask: Ask) -> None:
    manager = lab.manager()
    manager.start(assignment())
    first = await lab.until_running(manager)
    os.kill(first.pid, signal.SIGKILL)
    failed = await lab.until_failed(manager)
    assert failed.error is not None
    assert "SIGKILL" in failed.error.message
    manager.start(assignment())
    second = await lab.until_running(manager)
    assert second.pid != first.pid
    assert second.restart_count == 1
    assert await ask(second.endpoint)


async def test_the_reason_is_that_of_this_run(lab: EngineLab) -> None:
    manager = lab.manager()
    manager.start(assignment(kv_cache_type=KvCacheType.Q8_0))
    await lab.until_failed(manager)
    manager.start(assignment())
    status = await lab.until_running(manager)
    os.kill(status.pid, signal.SIGKILL)
    failed = await lab.until_failed(manager)
    assert failed.error is not None
    assert "q8_0" not in failed.error.message


async def test_failures_are_forgotten_with_another_spec(lab: EngineLab) -> None:
    manager = lab.manager()
    manager.start(assignment(kv_cache_type=KvCacheType.Q8_0))
    await lab.until_failed(manager)
    manager.start(assignment())
    status = await lab.until_running(manager)
    assert (status.restart_count, status.failures, status.error) == (0, 0, None)


async def test_failures_are_forgotten_in_another_generation(lab: EngineLab) -> None:
    lab.files.files, files = {}, lab.files.files
    manager = lab.manager()
    for failures in (1, 2):
        manager.start(assignment())
        await lab.until(manager, lambda status: status.failures == failures)  # noqa: B023
    lab.files.files = files
    manager.start(assignment(generation=2))
    status = await lab.until_running(manager)
    assert (status.generation, status.restart_count, status.failures) == (2, 0, 0)
    assert status.error is None


async def test_a_hung_engine_is_found_out_and_ended(lab: EngineLab) -> None:
    manager = lab.manager()
    manager.start(assignment())
    status = await lab.until_running(manager)
    os.kill(status.pid, signal.SIGSTOP)
    failed = await lab.until_failed(manager)
    assert failed.error is not None
    assert failed.error.reason is ErrorReason.ENGINE_UNHEALTHY
    assert ProcessIdentity.of(status.pid) is None


async def test_an_engine_that_never_answers_is_given_up(lab: EngineLab) -> None:
    manager = lab.manager(times=replace(IMPATIENT, start_timeout_s=0.01))
    manager.start(assignment())
    failed = await lab.until_failed(manager)
    assert failed.error is not None
    assert failed.error.reason is ErrorReason.ENGINE_START_TIMEOUT


async def test_an_artifact_that_is_not_there_is_a_failure(lab: EngineLab) -> None:
    lab.files.files.clear()
    manager = lab.manager()
    manager.start(assignment())
    failed = await lab.until_failed(manager)
    assert failed.error is not None
    assert failed.error.reason is ErrorReason.ARTIFACT_NOT_READY


async def test_stop_all_leaves_nothing(lab: EngineLab) -> None:
    manager = lab.manager()
    manager.start(assignment())
    status = await lab.until_running(manager)
    await manager.stop_all()
    assert manager.statuses() == ()
    assert ProcessIdentity.of(status.pid) is None


async def test_an_engine_whose_state_cannot_be_written_runs_and_is_adopted(
    lab: EngineLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = lab.manager()
    manager.start(assignment())
    pid = (await lab.until(manager, lambda status: status.pid > 0)).pid
    record = lab.root / "uid-1" / "engine.json"
    record.unlink()
    record.mkdir()
    status = await lab.until_running(manager)
    assert status.pid == pid
    os.kill(pid, signal.SIGKILL)
    assert (await lab.until_failed(manager)).pid == 0


async def test_stopping_while_it_loads(lab: EngineLab) -> None:
    manager = lab.manager()
    manager.start(assignment())
    manager.stop("uid-1")
    await lab.until_none(manager)
    assert not [path for path in find_marked(MARK) if Path(path).is_relative_to(lab.root)]


async def test_the_next_manager_adopts_what_runs(lab: EngineLab, ask: Ask) -> None:
    first = lab.manager()
    first.start(assignment(generation=3))
    before = await lab.until_running(first)
    await lab.tasks.close()
    lab.seen.clear()
    second = lab.manager()
    await second.adopt()
    after = await lab.until_running(second)
    # Until it is heard, nobody says that it loads: it may have answered all the while.
    assert set(lab.seen) == {EnginePhase.CHECKING, EnginePhase.RUNNING}
    assert (after.pid, after.endpoint, after.spec) == (before.pid, before.endpoint, before.spec)
    assert after.generation == 3
    assert await ask(after.endpoint)
    second.stop("uid-1")
    await lab.until_none(second)
    assert not ProcessIdentity(pid=after.pid, start_ticks=0, boot_id="").lives


async def test_what_runs_is_looked_after_even_where_nothing_more_can_be_started(lab: EngineLab) -> None:
    first = lab.manager()
    first.start(assignment())
    before = await lab.until_running(first)
    await lab.tasks.close()
    second = lab.manager(installed=())
    await second.adopt()
    assert (await lab.until_running(second)).pid == before.pid
    os.kill(before.pid, signal.SIGKILL)
    await lab.until_failed(second)
    second.start(assignment())
    failed = await lab.until(second, lambda status: status.failures == 2)
    assert failed.error is not None
    assert failed.error.reason is ErrorReason.ENGINE_NOT_INSTALLED


async def test_an_engine_whose_start_was_not_written_down_is_adopted(lab: EngineLab) -> None:
    first = lab.manager()
    first.start(assignment())
    before = await lab.until_running(first)
    await lab.tasks.close()
    record = lab.root / "uid-1" / "engine.json"
    state = record.read_text()
    # As the record is in the instant between the two writes around a start.
    record.write_text(
        state[: state.index('"process"')] + '"process": null, "restart_count": 0, "failures": 0}'
    )
    second = lab.manager()
    await second.adopt()
    assert (await lab.until_running(second)).pid == before.pid


async def test_an_engine_of_an_agent_that_knew_no_generations_is_of_the_first(lab: EngineLab) -> None:
    first = lab.manager()
    first.start(assignment(generation=3))
    before = await lab.until_running(first)
    await lab.tasks.close()
    path = lab.root / "uid-1" / "engine.json"
    record = json.loads(path.read_text())
    del record["generation"]
    path.write_text(json.dumps(record))
    second = lab.manager()
    await second.adopt()
    after = await lab.until_running(second)
    assert (after.pid, after.generation) == (before.pid, 1)


async def test_an_engine_that_ended_unseen_has_failed(lab: EngineLab) -> None:
    first = lab.manager()
    first.start(assignment())
    before = await lab.until_running(first)
    await lab.tasks.close()
    os.kill(before.pid, signal.SIGKILL)
    await asyncio.to_thread(os.waitpid, before.pid, 0)
    second = lab.manager()
    await second.adopt()
    status = second.statuses()[0]
    assert status.phase is EnginePhase.BACKING_OFF
    assert status.error is not None
    second.start(assignment())
    assert (await lab.until_running(second)).restart_count == 1


async def test_an_engine_that_nothing_is_known_of_is_ended(lab: EngineLab) -> None:
    directory = lab.root / "stranger"
    directory.mkdir()
    process = EngineProcess.spawn(
        ["/bin/sleep", "1000"],
        environment={MARK: str(directory)},
        log=directory / "engine.log",
        cwd=directory,
    )
    await lab.manager().adopt()
    assert await process.wait()
    assert find_leftovers(lab.root).running == ()


async def test_a_stopped_engine_is_not_found_again(lab: EngineLab) -> None:
    first = lab.manager()
    first.start(assignment())
    await lab.until_running(first)
    first.stop("uid-1")
    await lab.until_none(first)
    second = lab.manager()
    await second.adopt()
    assert second.statuses() == ()


async def test_the_log_stays_after_the_engine_is_gone(lab: EngineLab) -> None:
    manager = lab.manager()
    with pytest.raises(NotFound):
        await manager.log_of("models/tiny/instances/a")
    manager.start(assignment())
    await lab.until_running(manager)
    await manager.stop_all()
    log = await manager.log_of("models/tiny/instances/a")
    assert "model loaded" in log.tail(10_000)


async def test_a_crash_loop_waits_longer_and_longer(lab: EngineLab) -> None:
    lab.files.files.clear()
    manager = lab.manager()
    for failures in (1, 2, 3):
        manager.start(assignment())
        status = await lab.until(manager, lambda status: status.failures == failures)  # noqa: B023
        assert status.retry_at > asyncio.get_running_loop().time() - 1
    assert manager.statuses()[0].restart_count == 2
