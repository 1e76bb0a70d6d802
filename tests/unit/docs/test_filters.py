import re
import runpy
from pathlib import Path

import pytest

from moorage_common.core.errors import InvalidArgument
from moorage_registry.core.filters.checks import check
from moorage_registry.core.filters.parser import parse_filter

DOCS = Path(__file__).parents[3] / "docs"
SCRIPT = runpy.run_path(str(DOCS / "render_filters.py"))
PAGE = (DOCS / "filters.md").read_text()
EXAMPLES = re.findall(r"(?m)^\| (`.*?) \| ", PAGE.partition("## What is absent")[0])


def test_the_page_says_which_fields_there_are() -> None:
    """If this fails: python docs/render_filters.py."""
    assert SCRIPT["render"](PAGE) == PAGE


@pytest.mark.parametrize("text", [text for cell in EXAMPLES for text in re.findall(r"`(.*?)`", cell)])
def test_every_example_is_a_filter_of_some_list(text: str) -> None:
    parsed = parse_filter(text)
    errors = []
    for fields in SCRIPT["LISTS"].values():
        try:
            assert check(parsed, fields.types)
        except InvalidArgument as error:
            errors.append(error)
        else:
            return
    raise AssertionError(errors)
