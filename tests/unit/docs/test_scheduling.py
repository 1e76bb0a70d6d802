"""Every rule of docs/scheduling.md has a test that names it, and no test names a rule that is not there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "scheduling.md"
_RULE = re.compile(r"\| `([a-z0-9-]+)` \||\(`([a-z0-9-]+)`\)")


def rules_of_the_page():
    return {table or text for table, text in _RULE.findall(PAGE.read_text())}


def rules_of_the_tests():
    """Names in `pytest.mark.rule(…)`, of functions, of classes, and of whole files."""
    named = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for mark in ast.walk(ast.parse(path.read_text())):
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.rule":
                named |= {argument.value for argument in mark.args if isinstance(argument, ast.Constant)}
    return named


def test_every_rule_of_scheduling_has_a_test_that_names_it():
    rules = rules_of_the_page()
    assert len(rules) > 40
    assert rules - rules_of_the_tests() == set()


def test_no_test_names_a_rule_that_is_not_on_the_page():
    assert rules_of_the_tests() - rules_of_the_page() == set()
