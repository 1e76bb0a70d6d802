import pytest

from moorage_cli.query import EVERYTHING, Query, is_equal, label_conditions
from moorage_common.core.errors import InvalidArgument


def test_labels_become_conditions() -> None:
    assert label_conditions(["zone=a", "tier!=gold, team == x"]) == [
        'labels.zone = "a"',
        'NOT labels.tier = "gold"',
        'labels.team = "x"',
    ]
    assert label_conditions(['k8s.io/zone=say "a"', "empty="]) == [
        'labels."k8s.io/zone" = "say \\"a\\""',
        'labels.empty = ""',
    ]
    assert label_conditions([]) == []


@pytest.mark.parametrize("text", ["zone", "=a", "", "zone=a,"])
def test_what_selects_by_no_label_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="selects by no label") as refused:
        label_conditions([text])
    assert "KEY=VALUE" in refused.value.remedy


def test_conditions_are_joined_so_that_each_holds() -> None:
    assert EVERYTHING.narrowed().filter == ""
    assert EVERYTHING.narrowed(is_equal("resource", "models/a")).filter == 'resource = "models/a"'
    query = Query(filter="a = 1 OR b = 2", order_by="a", limit=3)
    assert query.narrowed("c = 3", "") == Query(filter="(a = 1 OR b = 2) AND (c = 3)", order_by="a", limit=3)
