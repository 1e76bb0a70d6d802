import runpy
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs"
RENDER = runpy.run_path(str(DOCS / "render_reasons.py"))["render"]


def test_the_page_says_what_the_protos_say() -> None:
    """If this fails: python docs/render_reasons.py."""
    assert (DOCS / "reasons.md").read_text() == RENDER()


def test_every_reason_says_what_it_means_and_what_to_do() -> None:
    rows = [line.split(" | ") for line in RENDER().splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    for name, meaning, remedy in rows:
        assert meaning.strip(), name
        assert len(remedy.strip(" |")) > 10, name
