from dataclasses import replace

import pytest

from moorage_common.core.placement import Verdict
from moorage_scheduler.convert.outcomes import explanation_to_proto
from moorage_scheduler.decisions import Action, decide


@pytest.fixture
def placed(paper):
    return paper.place(paper.snapshot(paper.Worker(name="workers/w")), paper.request())


@pytest.fixture
def nowhere(paper):
    return paper.place(paper.snapshot(paper.Worker(name="workers/w", cordoned=True)), paper.request())


def test_a_pending_instance_is_bound_where_its_artifact_is_and_nominated_where_not(records, placed):
    pending = records.instance()
    bind = decide(pending, placed, artifact_ready=True)
    assert (bind.action, bind.placement, bind.instance) == (Action.BIND, placed.placement, pending)
    assert decide(pending, placed, artifact_ready=False).action is Action.NOMINATE


@pytest.mark.parametrize("copy_seen", [True, False])
def test_a_fetched_instance_is_bound_whether_or_not_its_copy_was_seen_yet(records, placed, copy_seen):
    fetched = records.instance(state="FETCHED", worker="workers/w")
    assert decide(fetched, placed, artifact_ready=copy_seen).action is Action.BIND


def test_a_fetched_instance_that_fits_elsewhere_only_gives_up_its_nomination(records, placed):
    fetched = records.instance(state="FETCHED", worker="workers/full")
    left = decide(fetched, placed, artifact_ready=True)
    assert (left.action, left.placement) == (Action.RECORD, None)
    assert left.explanation.verdict is Verdict.NOT_NOW
    assert "workers/full" in left.explanation.summary


def test_an_explanation_is_recorded_once(records, nowhere):
    assert decide(records.instance(), nowhere, artifact_ready=False).action is Action.RECORD
    known = records.instance(explanation=explanation_to_proto(nowhere.explanation))
    assert decide(known, nowhere, artifact_ready=False) is None


def test_an_explanation_that_changed_is_recorded_again(records, nowhere, placed):
    known = records.instance(explanation=explanation_to_proto(placed.explanation))
    again = decide(known, nowhere, artifact_ready=False)
    assert again.explanation == nowhere.explanation


def test_a_fetched_instance_that_fits_nowhere_gives_up_its_nomination_in_any_case(records, nowhere):
    known = explanation_to_proto(replace(nowhere.explanation))
    fetched = records.instance(state="FETCHED", worker="workers/w", explanation=known)
    assert decide(fetched, nowhere, artifact_ready=True).action is Action.RECORD
