"""A setting that no start can make good ends a service with 2, which systemd takes for final, and is named."""

import re
import subprocess
import sys

import pytest
from deploy_files import SETTINGS

from moorage_common.core.errors import InvalidArgument
from moorage_common.runtime.config import load_settings

SERVICES = tuple(SETTINGS)
ADDRESSES = [
    (service, field)
    for service, settings in SETTINGS.items()
    for field in settings.model_fields
    if re.search("(^listen|_address|_host|_endpoint|_proxy|_url)$", field)
]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:http", "10.0.0.5:7600"])
def test_a_bad_address_to_listen_on_ends_a_service_with_2(service: str, address: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", f"moorage_{service}", "--listen", address],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    said = f"moorage-{service}: bad settings: --listen (MOORAGE_{service.upper()}_LISTEN): "
    assert line.startswith(said)


@pytest.mark.parametrize(("service", "field"), ADDRESSES)
def test_every_setting_that_is_an_address_is_checked(service: str, field: str) -> None:
    flag = f"--{field.replace('_', '-')}"
    with pytest.raises(InvalidArgument) as raised:
        load_settings(SETTINGS[service], [f"{flag}=no such://pl{{ace}}"])
    assert [violation.field.split()[0] for violation in raised.value.violations] == [flag]


@pytest.mark.parametrize(
    ("service", "field"),
    [
        ("scheduler", "registry_address"),
        ("scheduler", "downloader_address"),
        ("downloader", "registry_address"),
        ("agent", "registry_address"),
        ("agent", "engine_host"),
    ],
)
def test_what_is_spoken_to_in_plaintext_is_on_this_machine_unless_said_aloud(
    service: str, field: str
) -> None:
    flag = f"--{field.replace('_', '-')}"
    elsewhere = f"{flag}=10.0.0.5{'' if field.endswith('host') else ':7600'}"
    with pytest.raises(InvalidArgument, match=rf"{flag} .*10\.0\.0\.5 is not a loopback address"):
        load_settings(SETTINGS[service], [elsewhere])
    load_settings(SETTINGS[service], [elsewhere, "--insecure"])


@pytest.mark.parametrize(
    "url",
    [
        *("", "mysql://127.0.0.1/moorage", "127.0.0.1:5432", "postgresql://127.0.0.1:x/moorage"),
        *("postgresql://ada:se/cret@127.0.0.1/moorage", "postgresql://ada:se@cret@127.0.0.1/moorage"),
        *(
            "postgresql://ada:12/secret@127.0.0.1/moorage",
            "postgresql://ada:se#cret@127.0.0.1/moorage",
            "postgresql://[::1/moorage",
            "postgresql:///moorage?x",
        ),
    ],
)
def test_a_database_url_that_cannot_be_read_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidArgument, match="--database-url") as raised:
        load_settings(SETTINGS["registry"], [f"--database-url={url}"])
    assert "cret" not in raised.value.message


@pytest.mark.parametrize(
    "url",
    [
        *(
            "postgresql://",
            "postgres://ada:se%40cret@[::1]:5432/moorage?sslmode=prefer",
            "postgresql:///moorage",
        ),
        *(
            "postgresql://ada@%2Frun%2Fpostgresql/moorage",
            "postgresql://a:1,b:2/moorage?target_session_attrs=any",
        ),
        "postgresql:///moorage?host=/run/postgresql",
    ],
)
def test_whatever_a_database_url_can_be_is_taken(url: str) -> None:
    assert load_settings(SETTINGS["registry"], [f"--database-url={url}"]).model_dump()["database_url"] == url
