"""Who may import and read what, beyond what import-linter can say (its contracts are in pyproject.toml)."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PURE = [
    "common/moorage_common/core",
    "registry/moorage_registry/core",
    "scheduler/moorage_scheduler/core",
    "scheduler/moorage_scheduler/filters",
    "scheduler/moorage_scheduler/estimators",
    "scheduler/moorage_scheduler/scorers",
    "downloader/moorage_downloader/core",
    "agent/moorage_agent/core",
]
IMPURE_CALLS = {
    "os.environ",
    "os.getenv",
    "time.time",
    "time.monotonic",
    "time.sleep",
    "datetime.now",
    "datetime.utcnow",
    "datetime.datetime.now",
}
CLOCK = Path("common/moorage_common/core/clock.py")


def test_import_linters_contracts_are_kept(root):
    linter = Path(sys.executable).with_name("lint-imports")
    checked = subprocess.run([linter, "--no-cache"], cwd=root, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_core_imports_the_standard_library_only(root):
    core = root / "services/common/moorage_common/core"
    for path in core.rglob("*.py"):
        for name in imported(path):
            package = name.partition(".")[0]
            assert package in sys.stdlib_module_names or name.startswith("moorage_common.core"), (
                f"{path.name} imports {name}"
            )


@pytest.mark.parametrize("package", PURE)
def test_rules_read_no_clock_and_no_environment(root, package):
    services = root / "services"
    paths = [path for path in (services / package).rglob("*.py") if path.relative_to(services) != CLOCK]
    assert paths
    for path in paths:
        read = {
            ast.unparse(node)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute)
        }
        assert not read & IMPURE_CALLS, f"{path} reads {read & IMPURE_CALLS}"


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
