"""What deploy/ sets exists, and fits together."""

import re

import pytest
from deploy_files import (
    DEPLOY,
    ROOT,
    SETTINGS,
    compose,
    example_environment,
    image_environment,
    image_stage,
    known_variables,
    unit_of,
    unit_settings,
)

from moorage_common.core.address import Address
from moorage_common.runtime.config import SECRETS_DIR, load_settings

SERVICES = tuple(SETTINGS)
COMPOSE = ("compose.yaml", "compose.gpu.yaml")


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_that_is_named_exists(service: str) -> None:
    named = {*example_environment(service, commented=True), *image_environment(service)}
    for name in COMPOSE:
        definition = compose(name)["services"].get(service, {})
        named |= {variable for variable in definition.get("environment", {}) if variable != "LD_LIBRARY_PATH"}
        named |= {secret.upper() for secret in definition.get("secrets", [])}
    assert named
    assert named - known_variables(service) == set()


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.5"])
def test_a_service_takes_what_compose_and_its_image_give_it(
    service: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = compose(MOORAGE_ADDRESS=address)["services"][service]
    environment = {**image_environment(service), **definition["environment"]}
    environment.pop(SECRETS_DIR, None)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(SETTINGS[service], [])
    listen = Address.parse(settings.listen)
    assert settings.insecure
    # A service of its own network publishes its port; the agent listens where it is published.
    published = definition.get("ports", [f"{settings.listen}:{listen.port}"])
    assert published == [f"{address}:{listen.port}:{listen.port}"]
    # The image's own probe asks on loopback.
    asked = definition.get("healthcheck", {"test": ["0.0.0.0:" + str(listen.port)]})["test"][-1]
    assert asked == settings.listen


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_probes_and_exposes_the_port_that_it_listens_on(service: str) -> None:
    stage = image_stage(service)
    port = Address.parse(image_environment(service)[f"MOORAGE_{service.upper()}_LISTEN"]).port
    assert Address.parse(str(SETTINGS[service].model_fields["listen"].default)).port == port
    assert f"\nEXPOSE {port}\n" in stage
    assert f'CMD ["python", "-m", "moorage_common.rpc.probe", "127.0.0.1:{port}"]' in stage
    assert f'ENTRYPOINT ["moorage-{service}"]' in stage


def test_nothing_is_published_to_other_machines_unless_somebody_says_so() -> None:
    for definition in compose()["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in definition.get("ports", []))


def test_compose_uses_what_it_defines_and_what_is_built() -> None:
    file = compose()
    for kind in ("secrets", "networks"):
        used = {name for service in file["services"].values() for name in service.get(kind, [])}
        assert used == set(file[kind]), kind
    volumes = {
        volume.partition(":")[0]
        for service in file["services"].values()
        for volume in service.get("volumes", [])
    }
    assert {name for name in volumes if not name.startswith(".")} == set(file["volumes"])
    for service in SERVICES:
        assert file["services"][service]["image"] == f"localhost/moorage-{service}:latest"
        assert image_stage(service)


@pytest.mark.parametrize("service", SERVICES)
def test_a_unit_gives_its_service_the_time_to_end(service: str) -> None:
    settings = load_settings(SETTINGS[service], [])
    wanted = settings.drain_grace_s + getattr(settings, "engine_stop_grace_s", 0)
    (given,) = unit_settings(unit_of(service))["TimeoutStopSec"]
    assert float(given.removesuffix("s")) > wanted
    assert float(compose()["services"][service]["stop_grace_period"].removesuffix("s")) > wanted


@pytest.mark.parametrize("service", SERVICES)
def test_a_unit_runs_as_a_user_that_sysusers_makes(service: str) -> None:
    (user,) = unit_settings(unit_of(service))["User"]
    made = re.findall(r"(?m)^u (\S+)", (DEPLOY / "systemd" / "moorage.conf").read_text())
    assert user in made


def test_the_images_are_built_of_what_dockerignore_lets_through() -> None:
    let_through = set(re.findall(r"(?m)^!(\S+)", (ROOT / ".dockerignore").read_text()))
    copied = re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", (DEPLOY / "Containerfile").read_text())
    assert {name for names in copied for name in names.split()} == let_through
