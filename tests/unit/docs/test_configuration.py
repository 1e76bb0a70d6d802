import runpy
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_says_what_the_settings_are() -> None:
    """If this fails: python docs/render_configuration.py."""
    made = runpy.run_path(str(DOCS / "render_configuration.py"))["render"]()
    assert (DOCS / "configuration.md").read_text() == made
