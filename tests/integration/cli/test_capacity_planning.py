"""What the page on capacity planning shows is what its commands print."""

import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"
SCRIPT = runpy.run_path(str(DOCS / "render_capacity_planning.py"))
PAGE = (DOCS / "capacity-planning.md").read_text()


def test_the_page_shows_what_is_printed_and_which_keys_there_are() -> None:
    """If this fails: python docs/render_capacity_planning.py."""
    assert SCRIPT["render"](PAGE) == PAGE


def test_every_command_is_shown_with_its_output_or_needs_a_mesh() -> None:
    shown = set(re.findall(r"(?m)^```sh\n(moor .*)\n```\n\n```text\n", PAGE))
    assert shown
    assert set(re.findall(r"(?m)^moor .*$", PAGE)) == shown | set(SCRIPT["commands"](PAGE))


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", PAGE))))
def test_every_link_leads_somewhere(target: str) -> None:
    assert (DOCS / target).exists()


def test_every_example_is_used() -> None:
    assert {path.name for path in (DOCS / "examples").iterdir()} == set(re.findall(r"[\w-]+\.yaml", PAGE))
