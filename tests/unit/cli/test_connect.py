import getpass

import pytest

from moorage_cli import connect


def test_who_calls_is_a_user_at_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    monkeypatch.setattr("socket.gethostname", lambda: "bridge")
    assert connect.actor() == "ada@bridge"


def test_a_name_that_metadata_cannot_carry_is_made_to_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "zoë")
    assert connect.actor().startswith("zo?@")


@pytest.mark.parametrize("error", [KeyError("uid"), OSError("no user name")])
def test_a_user_without_a_name_still_calls(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def nobody() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert connect.actor().startswith("unknown@")
