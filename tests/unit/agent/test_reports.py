"""What the registry is told."""

import pytest

from moorage_agent.core.domain import (
    Actual,
    CopyAssignment,
    CopyStatus,
    DesiredState,
    EnginePhase,
    EngineStatus,
    FileEntry,
    InstanceAssignment,
)
from moorage_agent.core.fault import Fault
from moorage_agent.core.reports import copy_reports, instance_reports
from moorage_agent.core.spec import EngineSpec
from moorage_common.core.errors import ErrorReason, Unavailable
from moorage_common.core.states import CopyState, EngineKind, InstanceState

SPEC = EngineSpec(
    kind=EngineKind.LLAMA_CPP, alias="m", artifact="art", entry_point="m.gguf", context_length=512
)


def desired(spec: EngineSpec | None, generation: int = 1) -> DesiredState:
    assignment = InstanceAssignment(
        uid="u", instance="models/m/instances/i", generation=generation, spec=spec
    )
    return DesiredState(instances=(assignment,))


RUN = desired(SPEC)
STOP = desired(None)
ASSIGNMENT = CopyAssignment(artifact="art", files=(FileEntry(path="m.gguf", size_bytes=10),))
READY = CopyStatus(assignment=ASSIGNMENT, state=CopyState.READY, done_bytes=10)
FAULT = Fault.of(Unavailable("it exited", reason=ErrorReason.ENGINE_EXITED))


def engine(phase: EnginePhase) -> EngineStatus:
    return EngineStatus(
        uid="u",
        instance="models/m/instances/i",
        generation=1,
        spec=SPEC,
        phase=phase,
        endpoint="http://h:1/v1" if phase is EnginePhase.RUNNING else "",
        error=FAULT,
        restart_count=3,
    )


def states(wanted: DesiredState | None, actual: Actual) -> list[InstanceState]:
    return [report.state for report in instance_reports(wanted, actual)]


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        (EnginePhase.CHECKING, []),
        (EnginePhase.STARTING, [InstanceState.STARTING]),
        (EnginePhase.RUNNING, [InstanceState.RUNNING]),
        (EnginePhase.BACKING_OFF, [InstanceState.ERROR]),
        (EnginePhase.STOPPING, [InstanceState.STARTING]),
    ],
)
def test_an_instance_that_should_run(phase: EnginePhase, expected: list[InstanceState]) -> None:
    assert states(RUN, Actual(engines=(engine(phase),), copies=(READY,))) == expected


@pytest.mark.parametrize("phase", list(EnginePhase))
def test_an_instance_that_should_stop_is_stopped_when_its_engine_is_gone(phase: EnginePhase) -> None:
    assert states(STOP, Actual(engines=(engine(phase),))) == []
    assert states(STOP, Actual()) == [InstanceState.STOPPED]


@pytest.mark.parametrize("phase", list(EnginePhase))
def test_what_is_refused_is_an_error_whatever_is_left_of_it(phase: EnginePhase) -> None:
    refused = InstanceAssignment(
        uid="u", instance="models/m/instances/i", generation=2, spec=None, refusal=FAULT
    )
    for actual in (Actual(), Actual(engines=(engine(phase),))):
        [report] = instance_reports(DesiredState(instances=(refused,)), actual)
        assert (report.generation, report.state, report.error) == (2, InstanceState.ERROR, FAULT)


@pytest.mark.parametrize("phase", list(EnginePhase))
def test_of_an_engine_of_another_generation_nothing_is_said(phase: EnginePhase) -> None:
    [report] = instance_reports(desired(SPEC, 2), Actual(engines=(engine(phase),), copies=(READY,)))
    assert (report.generation, report.state) == (2, InstanceState.STARTING)
    assert (report.endpoint, report.error, report.restart_count) == ("", None, 0)


def test_a_failed_engine_of_another_generation_does_not_hide_that_the_artifact_is_missing() -> None:
    [report] = instance_reports(desired(SPEC, 2), Actual(engines=(engine(EnginePhase.BACKING_OFF),)))
    assert (report.generation, report.state) == (2, InstanceState.ERROR)
    assert report.error is not None
    assert report.error.reason is ErrorReason.ARTIFACT_NOT_READY


@pytest.mark.parametrize("phase", list(EnginePhase))
def test_a_stop_is_told_once_the_last_engine_of_whatever_generation_is_gone(phase: EnginePhase) -> None:
    assert states(desired(None, 2), Actual(engines=(engine(phase),))) == []
    [report] = instance_reports(desired(None, 2), Actual())
    assert (report.generation, report.state) == (2, InstanceState.STOPPED)


def test_only_errors_carry_the_error_and_only_running_the_endpoint() -> None:
    [running] = instance_reports(RUN, Actual(engines=(engine(EnginePhase.RUNNING),)))
    assert (running.endpoint, running.error, running.restart_count) == ("http://h:1/v1", None, 3)
    [failed] = instance_reports(RUN, Actual(engines=(engine(EnginePhase.BACKING_OFF),)))
    assert (failed.endpoint, failed.error) == ("", FAULT)


def test_an_artifact_that_is_missing_is_an_error_told_once() -> None:
    [first] = instance_reports(RUN, Actual())
    [second] = instance_reports(RUN, Actual())
    assert first.error is not None
    assert first.error.reason is ErrorReason.ARTIFACT_NOT_READY
    assert first == second
    assert states(RUN, Actual(copies=(READY,))) == [InstanceState.STARTING]


def test_nobody_is_told_of_what_was_not_asked_for() -> None:
    actual = Actual(engines=(engine(EnginePhase.RUNNING),), copies=(READY,))
    assert instance_reports(DesiredState(), actual) == []
    assert copy_reports(DesiredState(), actual) == []
    assert instance_reports(None, actual) == []
    assert copy_reports(None, actual) == []


def test_copies() -> None:
    wanted = DesiredState(copies=(ASSIGNMENT, CopyAssignment(artifact="new", files=())))
    ready, absent = copy_reports(wanted, Actual(copies=(READY,)))
    assert (ready.artifact, ready.state, ready.done_bytes) == ("art", CopyState.READY, 10)
    assert (absent.artifact, absent.state) == ("new", CopyState.ABSENT)


def test_a_fault_becomes_the_error_that_it_was() -> None:
    error = FAULT.error()
    assert isinstance(error, Unavailable)
    assert (error.message, error.reason) == ("it exited", ErrorReason.ENGINE_EXITED)
    assert Fault.of(error) == FAULT
