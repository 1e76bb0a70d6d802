import os
from pathlib import Path

import pytest

from moorage_cli.launcher.home import MeshHome
from moorage_common.core.errors import ErrorReason, FailedPrecondition, InvalidArgument


def test_one_launcher_at_a_time(tmp_path: Path) -> None:
    home = MeshHome(tmp_path / "mesh")
    with home.claim():
        with pytest.raises(FailedPrecondition, match=f"process {os.getpid()}") as refusal, home.claim():
            pass
        assert refusal.value.reason is ErrorReason.RESOURCE_EXISTS
        assert "--data-dir" in refusal.value.remedy
    with home.claim():
        pass


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InvalidArgument, match="cannot use the data directory"),
        MeshHome(tmp_path / "file" / "mesh").claim(),
    ):
        pass


def test_addresses_are_kept(tmp_path: Path) -> None:
    home = MeshHome(tmp_path)
    assert home.addresses() == {}
    home.store_addresses({"registry": "127.0.0.1:7600"})
    assert home.addresses() == {"registry": "127.0.0.1:7600"}


@pytest.mark.parametrize("content", ["", "{}", "[]", "not json"])
def test_an_unreadable_file_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "mesh.json").write_text(content)
    with pytest.raises(InvalidArgument, match=r"mesh\.json is not readable"):
        MeshHome(tmp_path).addresses()
