"""What the pages on deployment name exists."""

import re

import pytest
from deploy_files import DEPLOY, ROOT, SETTINGS, known_variables

PAGES = {"deployment": ROOT / "docs" / "deployment.md", "deploy": DEPLOY / "README.md"}
LINKS = [
    (page, target)
    for page, path in PAGES.items()
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text())
]


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_every_link_leads_somewhere(page: str, target: str) -> None:
    assert (PAGES[page].parent / target).exists()


def test_every_file_that_is_to_be_used_is_there() -> None:
    made_by_scripts = {"deploy/compose/secrets", "deploy/compose/models"}
    named = set(re.findall(r"deploy/[\w./-]*\w", PAGES["deployment"].read_text())) - made_by_scripts
    assert named
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_every_variable_is_read_by_something() -> None:
    known = set().union(*(known_variables(service) for service in SETTINGS))
    known |= set(re.findall(r"\$\{(\w+):", (DEPLOY / "compose.yaml").read_text()))
    known |= {f"MOORAGE_{name}" for name in ("REGISTRY", "SCHEDULER", "DOWNLOADER")}  # read by moor
    assert set(re.findall(r"MOORAGE_[A-Z_]*[A-Z]", PAGES["deployment"].read_text())) - known == set()
