"""SQL of conditions and orders, where only another database's locale could show a mistake."""

import pytest
from sqlalchemy.dialects import postgresql

from moorage_registry.store.lists import MODEL_LIST


@pytest.mark.parametrize("filter_", ['source > "a"', 'labels.zone <= "a"'])
def test_texts_are_compared_by_code_points_whatever_the_locale(filter_):
    [condition] = MODEL_LIST.where(filter_)
    assert 'COLLATE "C"' in str(condition.compile(dialect=postgresql.dialect()))


@pytest.mark.parametrize("order_by", ["source", "resolution.artifact", "desired_state"])
def test_texts_are_ordered_by_code_points_whatever_the_locale(order_by):
    order = MODEL_LIST.row_order(order_by)
    for expression in (order.order()[0], order.after(["x", "key"])):
        assert 'COLLATE "C"' in str(expression.compile(dialect=postgresql.dialect()))


def test_what_a_filter_says_is_in_parameters_only():
    [condition] = MODEL_LIST.where('source = "needle*" AND labels.needle:* AND labels."needle" != needle')
    compiled = condition.compile(dialect=postgresql.dialect())
    assert "needle" not in str(compiled)
    assert "needle" in compiled.params.values()
