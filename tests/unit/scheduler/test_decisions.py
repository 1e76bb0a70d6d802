from dataclasses import replace

import pytest

from moorage_common.core.placement import Verdict
from moorage_common.core.states import EngineKind
from moorage_scheduler.convert.outcomes import explanation_to_proto
from moorage_scheduler.core.request import VllmOptions
from moorage_scheduler.decisions import Action, decide


@pytest.fixture
def placed(paper):
    return paper.place(paper.snapshot(paper.Worker(name="workers/w")), paper.request())


@pytest.fixture
def nowhere(paper):
    return paper.place(paper.snapshot(paper.Worker(name="workers/w", cordoned=True)), paper.request())


def test_a_pending_instance_is_bound_where_its_artifact_is_and_nominated_where_not(records, placed):
    pending = records.instance()
    bind = decide(pending, placed, holders={"workers/w"})
    assert (bind.action, bind.placement, bind.instance) == (Action.BIND, placed.placement, pending)
    assert decide(pending, placed, holders=set()).action is Action.NOMINATE


@pytest.mark.parametrize("copy_seen", [True, False])
def test_a_fetched_instance_is_bound_whether_or_not_its_copy_was_seen_yet(records, placed, copy_seen):
    fetched = records.instance(state="FETCHED", worker="workers/w")
    assert decide(fetched, placed, holders={"workers/w"} if copy_seen else set()).action is Action.BIND


def test_a_fetched_instance_that_fits_elsewhere_only_gives_up_its_nomination(records, placed):
    fetched = records.instance(state="FETCHED", worker="workers/full")
    left = decide(fetched, placed, holders={"workers/w"})
    assert (left.action, left.placement) == (Action.RECORD, None)
    assert left.explanation.verdict is Verdict.NOT_NOW
    assert "workers/full" in left.explanation.summary


def test_an_explanation_is_recorded_once(records, nowhere):
    assert decide(records.instance(), nowhere, holders=set()).action is Action.RECORD
    known = records.instance(explanation=explanation_to_proto(nowhere.explanation))
    assert decide(known, nowhere, holders=set()) is None


def test_an_explanation_that_changed_is_recorded_again(records, nowhere, placed):
    known = records.instance(explanation=explanation_to_proto(placed.explanation))
    again = decide(known, nowhere, holders=set())
    assert again.explanation == nowhere.explanation


def test_a_fetched_instance_that_fits_nowhere_gives_up_its_nomination_in_any_case(records, nowhere):
    known = explanation_to_proto(replace(nowhere.explanation))
    fetched = records.instance(state="FETCHED", worker="workers/w", explanation=known)
    assert decide(fetched, nowhere, holders={"workers/w"}).action is Action.RECORD


class TestSeveralWorkers:
    @pytest.fixture
    def team(self, paper):
        """vLLM on two workers, both of which must read its files."""
        workers = [paper.Worker(name=f"workers/{n}", gpus=(30,), engine=EngineKind.VLLM) for n in "ab"]
        request = paper.request(
            facts=paper.shards(), engine=EngineKind.VLLM, vllm=VllmOptions(gpu_memory_utilization=1.0)
        )
        outcome = paper.place(paper.snapshot(*workers), request)
        assert outcome.placement.subordinates
        return outcome

    def test_all_that_read_the_files_have_them_before_it_is_bound(self, records, team):
        leader, other = team.placement.worker, team.placement.subordinates[0]
        assert decide(records.instance(), team, holders={leader}).action is Action.NOMINATE
        assert decide(records.instance(), team, holders={other}).action is Action.NOMINATE
        assert decide(records.instance(), team, holders={leader, other}).action is Action.BIND

    def test_llama_cpps_primary_sends_the_others_what_they_hold(self, records, team):
        spread = replace(team, placement=replace(team.placement, engine=EngineKind.LLAMA_CPP))
        assert decide(records.instance(), spread, holders={team.placement.worker}).action is Action.BIND

    def test_it_was_fetched_for_all_that_it_names_and_nobody_else(self, records, team):
        leader, others = team.placement.worker, list(team.placement.subordinates)
        fetched = records.instance(state="FETCHED", worker=leader, subordinates=others)
        assert decide(fetched, team, holders=set()).action is Action.BIND
        elsewhere = records.instance(state="FETCHED", worker=leader, subordinates=["workers/c"])
        assert decide(elsewhere, team, holders=set()).action is Action.RECORD
