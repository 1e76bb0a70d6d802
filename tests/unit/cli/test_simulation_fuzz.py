"""Whatever a file says, it is a request or a list of mistakes with their places; never anything else."""

import json
import re
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moorage.scheduler.v1.simulation_pb2 import SimulatePlacementRequest
from moorage_cli.simulation.files import read_files
from moorage_cli.simulation.forms import FORMS
from moorage_cli.simulation.mistakes import FileInvalid
from moorage_common.rpc.validation import violations_of

WORDS = sorted(
    {
        name
        for form in FORMS.values()
        for name in (*form.names.values(), *form.needed, "workers", "models", "instances", "name", "count")
    }
)
VALUES = st.one_of(
    st.sampled_from(
        [
            "48GiB",
            "2 x L40S",
            "gpu-01",
            "gpu-01/cuda:0",
            "61 x 3GB",
            "llama/1",
            "vllm 0.11",
            "cuda",
            "yes",
            "-1",
            "~",
            "1e99",
        ]
    ),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(max_size=20),
)
TREES = st.recursive(
    VALUES,
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), children, max_size=5)
    ),
    max_leaves=25,
)
AT_ONCE = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def look(path: Path) -> None:
    request = read(path)
    if request is not None:
        # What is left is of the whole request: that it must have a model.
        assert {each.field for each in violations_of(request)} <= {"models"}


def read(path: Path) -> SimulatePlacementRequest | None:
    """The request. None: there are mistakes, and each has its place."""
    try:
        return read_files([path])[0]
    except FileInvalid as refused:
        violations = refused.violations
    assert violations
    for violation in violations:
        assert re.match(rf"{re.escape(str(path))}:\d+:\d+", violation.field), violation
        assert violation.description
    return None


@AT_ONCE
@given(st.text(max_size=200) | st.binary(max_size=200))
def test_any_text(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "any.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    look(path)


@AT_ONCE
@given(TREES)
def test_any_tree_of_known_words(tmp_path: Path, tree: Any) -> None:
    path = tmp_path / "tree.yaml"
    # JSON is YAML.
    path.write_text(json.dumps(tree))
    look(path)


@AT_ONCE
@given(st.dictionaries(st.sampled_from(["workers", "models", "instances", "policy"]), TREES, min_size=1))
def test_any_sections(tmp_path: Path, tree: Any) -> None:
    path = tmp_path / "sections.yaml"
    path.write_text(json.dumps(tree))
    look(path)
