"""Meshes by name, and which of all that is said of a mesh counts."""

import json
import stat
from pathlib import Path

import pytest

from moorage_cli.contexts import Context, Contexts, contexts_path, read_contexts, write_contexts
from moorage_cli.launcher.home import MeshHome
from moorage_cli.target import MeshTarget, Said
from moorage_common.core.errors import InvalidArgument, NotFound, Unavailable

PROD = Context(addresses={"registry": "10.0.0.1:7600", "scheduler": "10.0.0.1:7601"}, insecure=True)
LAB = Context(addresses={"registry": "127.0.0.1:7600"})
BOTH = Contexts(by_name={"prod": PROD, "lab": LAB}, current="prod")


def test_contexts_are_stored_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "contexts.json"
    write_contexts(path, BOTH)
    write_contexts(path, BOTH)
    assert read_contexts(path) == BOTH
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "contexts.json"
    write_contexts(path, BOTH)

    def refuse(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="No space"):
        write_contexts(path, Contexts())
    assert read_contexts(path) == BOTH
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["{", "[]", '{"contexts": 3}', '{"current": "a"}', '{"contexts": {"a": 1}}'])
def test_a_file_that_is_none_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "contexts.json"
    path.write_text(text)
    with pytest.raises(InvalidArgument, match=r"contexts\.json is not readable"):
        read_contexts(path)


def test_no_file_is_no_contexts(tmp_path: Path) -> None:
    assert read_contexts(tmp_path / "contexts.json") == Contexts()


def test_where_the_file_is() -> None:
    assert contexts_path({"XDG_CONFIG_HOME": "/x"}) == Path("/x/moorage/contexts.json")
    for environment in ({}, {"XDG_CONFIG_HOME": "relative"}):
        assert contexts_path(environment) == Path.home() / ".config/moorage/contexts.json"


def test_the_first_context_is_the_current_one_and_a_deleted_one_is_not() -> None:
    first = Contexts().having("lab", LAB)
    assert first.current == "lab"
    assert first.having("prod", PROD).current == "lab"
    assert first.having("prod", PROD).using("prod").without("prod").current == ""
    assert BOTH.without("lab").current == "prod"
    for refused in (BOTH.using, BOTH.without, BOTH.get):
        with pytest.raises(NotFound, match="no context 'old'"):
            refused("old")


def test_a_context_has_an_id_and_a_registry() -> None:
    with pytest.raises(InvalidArgument, match="NAME is invalid"):
        Contexts().having("Not A Name", LAB)
    with pytest.raises(InvalidArgument, match="no registry") as refused:
        Contexts().having("lab", Context(addresses={"scheduler": "a:1"}))
    assert refused.value.remedy == "Say where it is: moor context set lab --registry HOST:PORT"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    root = tmp_path / "mesh"
    root.mkdir()
    MeshHome(root).store_addresses({"registry": "127.0.0.1:1", "scheduler": "127.0.0.1:2"})
    return root


ADDRESS = {"registry": "127.0.0.1:5"}
WORDS = {"registry": "SAID-REGISTRY", "context": "SAID-CONTEXT"}


def target(tmp_path: Path, line: Said, environment: Said, *, contexts: Contexts = BOTH) -> MeshTarget:
    variables = {"XDG_CONFIG_HOME": str(tmp_path)}
    write_contexts(contexts_path(variables), contexts)
    return MeshTarget(levels=(line, environment), environment=variables)


def test_the_command_line_goes_before_the_environment_and_that_before_the_current_context(
    tmp_path: Path, home: Path
) -> None:
    by_address = Said(addresses=ADDRESS, words=WORDS)
    by_context = Said(context="lab", words=WORDS)
    by_home = Said(data_dir=home)
    nothing = Said()
    for line, environment, address in (
        (by_address, by_context, "127.0.0.1:5"),
        (by_context, by_address, "127.0.0.1:7600"),
        (by_home, by_address, "127.0.0.1:1"),
        (nothing, by_address, "127.0.0.1:5"),
        (nothing, by_context, "127.0.0.1:7600"),
        (nothing, by_home, "127.0.0.1:1"),
        (nothing, nothing, "10.0.0.1:7600"),
    ):
        assert target(tmp_path, line, environment).locate("registry").address == address


def test_on_one_level_an_address_goes_before_a_context_and_that_before_a_directory(
    tmp_path: Path, home: Path
) -> None:
    every = Said(addresses=ADDRESS, context="prod", data_dir=home, words=WORDS)
    found = target(tmp_path, every, Said())
    assert found.locate("registry").origin == "SAID-REGISTRY"
    assert found.locate("scheduler").address == "10.0.0.1:7601"


def test_what_a_mesh_lacks_is_not_taken_from_another(tmp_path: Path, home: Path) -> None:
    found = target(tmp_path, Said(context="lab", words=WORDS), Said(data_dir=home))
    with pytest.raises(Unavailable, match="context 'lab' does not say where the scheduler is") as refused:
        found.locate("scheduler")
    assert refused.value.remedy == "Add it: moor context set lab --scheduler HOST:PORT"
    empty = target(tmp_path, Said(data_dir=tmp_path / "none"), Said())
    with pytest.raises(Unavailable, match="no mesh is known here"):
        empty.locate("registry")


def test_who_says_so_goes_with_an_address_and_with_what_it_allows(tmp_path: Path, home: Path) -> None:
    current = target(tmp_path, Said(), Said()).locate("registry")
    assert (current.origin, current.insecure) == ("context prod, by moor context use", True)
    chosen = target(tmp_path, Said(context="lab", words=WORDS), Said()).locate("registry")
    assert (chosen.origin, chosen.insecure) == ("context lab, by SAID-CONTEXT", False)
    at_home = target(tmp_path, Said(data_dir=home), Said()).locate("registry")
    assert (at_home.origin, at_home.insecure) == (str(home / "mesh.json"), False)
    # What the current context allows says nothing of an address that it did not give.
    assert not target(tmp_path, Said(addresses=ADDRESS, words=WORDS), Said()).locate("registry").insecure


def test_a_context_that_is_not_there_is_said_with_who_names_it(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no context 'old', which SAID-CONTEXT names"):
        target(tmp_path, Said(context="old", words=WORDS), Said()).locate("registry")
    stale = Contexts(by_name={"lab": LAB}, current="gone")
    with pytest.raises(NotFound, match="which moor context use names"):
        target(tmp_path, Said(), Said(), contexts=stale).locate("registry")


def test_the_file_can_be_written_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "contexts.json"
    path.write_text(json.dumps({"contexts": {"lab": {"registry": "127.0.0.1:7600"}}}))
    assert read_contexts(path) == Contexts(by_name={"lab": LAB})
