from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from moorage_common.core.errors import InvalidArgument
from moorage_common.runtime.addresses import ListenAddress
from moorage_common.runtime.config import ServiceSettings, load_settings, settings_table


class HarbourSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="MOORAGE_HARBOUR_", cli_prog_name="moorage-harbour")
    shared_environment: ClassVar = {"database_url": "MOORAGE_DATABASE_URL"}

    listen: ListenAddress = "127.0.0.1:7609"
    database_url: str = "postgresql://localhost/moorage"
    """Where PostgreSQL is."""
    data_dir: Path = Path("./data")
    """Where files go."""
    berths: int = Field(default=3, ge=1)
    """How many ships fit."""
    token: SecretStr | None = None
    """A secret."""


@pytest.fixture(autouse=True)
def _no_inherited_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOORAGE_DATABASE_URL", raising=False)


def test_defaults_hold_when_nothing_is_said() -> None:
    settings = load_settings(HarbourSettings, [])
    assert settings.listen == "127.0.0.1:7609"
    assert settings.insecure is False
    assert settings.data_dir == Path("./data")


def test_flags_win_over_the_environment_and_it_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOORAGE_HARBOUR_BERTHS", "5")
    monkeypatch.setenv("MOORAGE_HARBOUR_LOG_LEVEL", "debug")
    settings = load_settings(HarbourSettings, ["--berths", "7", "--insecure", "--no-reflection"])
    assert (settings.berths, settings.log_level) == (7, "debug")
    assert (settings.insecure, settings.reflection) == (True, False)


def test_a_shared_variable_is_read_below_the_services_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOORAGE_DATABASE_URL", "postgresql://shared/")
    assert load_settings(HarbourSettings, []).database_url == "postgresql://shared/"
    monkeypatch.setenv("MOORAGE_HARBOUR_DATABASE_URL", "postgresql://own/")
    assert load_settings(HarbourSettings, []).database_url == "postgresql://own/"
    assert load_settings(HarbourSettings, ["--database-url", "postgresql://flag/"]).database_url == (
        "postgresql://flag/"
    )


def test_a_file_of_secrets_is_read_below_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOORAGE_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("MOORAGE_DATABASE_URL", "postgresql://shared/")
    (tmp_path / "moorage_harbour_token").write_text("s3cret\n")
    (tmp_path / "MOORAGE_HARBOUR_DATABASE_URL").write_text("postgresql://file/\n")
    (tmp_path / "moorage_other_token").write_text("not ours")
    settings = load_settings(HarbourSettings, [])
    assert settings.token is not None
    assert settings.token.get_secret_value() == "s3cret"
    assert settings.database_url == "postgresql://file/"
    monkeypatch.setenv("MOORAGE_HARBOUR_DATABASE_URL", "postgresql://own/")
    assert load_settings(HarbourSettings, []).database_url == "postgresql://own/"


def test_a_folder_of_secrets_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOORAGE_SECRETS_DIR", str(tmp_path / "gone"))
    with pytest.raises(InvalidArgument, match=r"MOORAGE_SECRETS_DIR: .*gone' is not a folder"):
        load_settings(HarbourSettings, [])


def test_a_file_of_secrets_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOORAGE_SECRETS_DIR", str(tmp_path))
    secret = tmp_path / "moorage_harbour_token"
    secret.write_text("s3cret")

    def refuse(path: Path, *_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    # Root, as whom the tests may run, is refused nothing.
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(InvalidArgument, match=r"MOORAGE_SECRETS_DIR: .*denied: .*moorage_harbour_token"):
        load_settings(HarbourSettings, [])


def test_every_wrong_setting_is_named_at_once() -> None:
    with pytest.raises(InvalidArgument) as raised:
        load_settings(HarbourSettings, ["--berths", "0", "--log-level", "loud"])
    named = [violation.field for violation in raised.value.violations]
    assert named == ["--log-level (MOORAGE_HARBOUR_LOG_LEVEL)", "--berths (MOORAGE_HARBOUR_BERTHS)"]
    assert "greater than or equal to 1" in raised.value.message


def test_addresses_are_checked_and_so_is_what_they_are_together() -> None:
    for given in ("127.0.0.1:0", "[::1]:7609", "localhost:1"):
        assert load_settings(HarbourSettings, ["--listen", given]).listen == given
    with pytest.raises(InvalidArgument) as raised:
        load_settings(HarbourSettings, ["--listen", "7609", "--otlp-endpoint", "collector:4318"])
    assert [violation.description for violation in raised.value.violations] == [
        "must look like 127.0.0.1:7600, [::1]:7600 or name:7600, not '7609'",
        "must look like https://host or http://host:port",
    ]
    with pytest.raises(InvalidArgument) as raised:
        load_settings(HarbourSettings, ["--listen", "0.0.0.0:7609"])
    [violation] = raised.value.violations
    assert violation.field == "--listen (MOORAGE_HARBOUR_LISTEN)"
    assert violation.description.startswith("0.0.0.0 is not a loopback address")
    assert load_settings(HarbourSettings, ["--listen", "0.0.0.0:7609", "--insecure"]).insecure


def test_settings_do_not_change() -> None:
    settings = load_settings(HarbourSettings, [])
    with pytest.raises(ValidationError, match="frozen"):
        settings.berths = 9


def test_help_explains_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load_settings(HarbourSettings, ["--help"])
    assert ended.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("usage: moorage-harbour")
    for field in HarbourSettings.model_fields.values():
        assert field.description is not None
        assert " ".join(field.description.split()) in said
    assert "MOORAGE_HARBOUR_BERTHS" in said


def test_an_unknown_flag_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load_settings(HarbourSettings, ["--birth", "7"])
    assert ended.value.code == 2
    assert "--birth" in capsys.readouterr().err


def test_the_table_has_a_row_for_every_setting() -> None:
    table = settings_table(HarbourSettings)
    assert (
        "| `--database-url` | `MOORAGE_HARBOUR_DATABASE_URL` or `MOORAGE_DATABASE_URL` "
        "| `postgresql://localhost/moorage` | Where PostgreSQL is. |"
    ) in table
    assert "| `--token` | `MOORAGE_HARBOUR_TOKEN` |  | A secret. |" in table
    assert len(table.splitlines()) == 2 + len(HarbourSettings.model_fields)
