"""Runs one benchmark by name: ``python bench/run.py deploy``."""

import runpy
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    names = sorted(path.stem for path in HERE.glob("*.py") if path.stem != "run")
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        sys.exit(f"usage: make bench NAME=…, one of: {', '.join(names)}")
    script = HERE / f"{sys.argv[1]}.py"
    sys.argv[:2] = [str(script)]
    runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    main()
