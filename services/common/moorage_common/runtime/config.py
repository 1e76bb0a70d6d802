"""Settings of a service: flags over environment variables over files of secrets over defaults.

A service declares a frozen class; the sentence under each field is its help and its documentation::

    class RegistrySettings(ServiceSettings):
        model_config = SettingsConfigDict(env_prefix="MOORAGE_REGISTRY_", cli_prog_name="moorage-registry")
        shared_environment: ClassVar = {"database_url": "MOORAGE_DATABASE_URL"}

        listen: ListenAddress = "127.0.0.1:7600"
        database_url: str
        \"\"\"Where PostgreSQL is, e.g. ``postgresql://user@host/moorage``.\"\"\"

What should not stand in an environment may be a file: each setting is also read from a file that is named like its
variable, in small letters or in capitals, in the folder MOORAGE_SECRETS_DIR.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import (
    BaseSettings,
    CliApp,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from moorage_common.core.address import Address, require_plaintext_allowed
from moorage_common.core.errors import FailedPrecondition, FieldViolation, InvalidArgument
from moorage_common.runtime.addresses import ListenAddress, MaybeWebUrl
from moorage_common.runtime.logs import LogLevel, LogStyle
from moorage_common.runtime.telemetry import TraceExporter

SettingsT = TypeVar("SettingsT", bound="ServiceSettings")

SECRETS_DIR = "MOORAGE_SECRETS_DIR"
"""Names a folder of files, each with the value of the setting whose variable it is named like."""

Seconds = Annotated[float, Field(ge=0)]
"""A duration in seconds."""


class ServiceSettings(BaseSettings):
    """What every service can be told. Subclasses set ``env_prefix`` and ``cli_prog_name``."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        cli_show_env_vars=True,
    )

    shared_environment: ClassVar[Mapping[str, str]] = {}
    """Variables without the service's prefix, by field, that are read where the prefixed one is not set."""

    listen: ListenAddress = "127.0.0.1:0"
    """Address to serve gRPC on, HOST:PORT. Port 0 takes any free one."""
    insecure: bool = False
    """Allow plaintext, with no authentication, on and to addresses other than loopback."""
    reflection: bool = True
    """Serve gRPC reflection, which lets grpcurl and buf curl list and call everything."""
    log_level: LogLevel = "info"
    """The least severe log lines to show."""
    log_format: LogStyle = "console"
    """How log lines look: for people, or JSON for collectors."""
    traces: TraceExporter = "none"
    """Where OpenTelemetry spans go: nowhere, to standard error, or to a collector by OTLP over HTTP."""
    otlp_endpoint: MaybeWebUrl = ""
    """URL of the collector's traces endpoint, e.g. http://localhost:4318/v1/traces, if traces is otlp.
    Empty: as OpenTelemetry's own OTEL_EXPORTER_OTLP_ENDPOINT says."""
    drain_grace_s: Seconds = 10.0
    """Seconds that calls in progress are given to finish when the service is told to stop."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        """Lets a field that a subclass only gives another default keep its sentence."""
        super().__pydantic_init_subclass__(**kwargs)
        for name, inherited in ServiceSettings.model_fields.items():
            field = cls.model_fields[name]
            field.description = field.description or inherited.description

    @classmethod
    def program(cls) -> str:
        """The name of the service's program, e.g. ``moorage-registry``."""
        return cls.model_config.get("cli_prog_name") or cls.__name__

    def plaintext_addresses(self) -> Mapping[str, Address]:
        """Returns what is listened on and spoken to in plaintext, by setting."""
        return {"listen": Address.parse(self.listen)}

    def contradictions(self) -> Mapping[str, str]:
        """Returns what is wrong with settings that are fine one by one, by setting."""
        found = {}
        for field, address in self.plaintext_addresses().items():
            try:
                require_plaintext_allowed(address, insecure=self.insecure)
            except FailedPrecondition as error:
                found[field] = f"{error.message}. {error.remedy}"
        return found

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (the signature is pydantic's)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Puts the service's own variables over the files of secrets, and both over the shared variables."""
        shared: dict[str, Any] = {
            field: os.environ[variable]
            for field, variable in cls.shared_environment.items()
            if variable in os.environ
        }
        secrets = SecretsSettingsSource(settings_cls, secrets_dir=os.environ.get(SECRETS_DIR))
        return init_settings, env_settings, secrets, InitSettingsSource(settings_cls, init_kwargs=shared)


def load_settings(settings_type: type[SettingsT], argv: Sequence[str]) -> SettingsT:
    """Reads a service's settings from its arguments and the environment.

    ``--help`` and unknown flags end the process, as argparse does.

    Raises:
        InvalidArgument: With one violation for each setting that is wrong.
    """
    _require_secrets_dir()
    try:
        settings = CliApp.run(settings_type, cli_args=list(argv))
    except SettingsError as error:
        raise _bad_secrets(f"{error}: {error.__cause__}") from error
    except ValidationError as error:
        wrong = [(str(item["loc"][0]), item["msg"]) for item in error.errors()]
        raise _bad_settings(settings_type, wrong) from None
    wrong = list(settings.contradictions().items())
    if wrong:
        raise _bad_settings(settings_type, wrong)
    return settings


def _require_secrets_dir() -> None:
    folder = os.environ.get(SECRETS_DIR)
    if folder is not None and not Path(folder).is_dir():
        raise _bad_secrets(f"{folder!r} is not a folder")


def _bad_settings(settings_type: type[ServiceSettings], wrong: Iterable[tuple[str, str]]) -> InvalidArgument:
    violations = [
        FieldViolation(field=_names(settings_type, field), description=said) for field, said in wrong
    ]
    said = "; ".join(f"{violation.field}: {violation.description}" for violation in violations)
    return InvalidArgument(f"bad settings: {said}", violations=violations)


def _bad_secrets(said: str) -> InvalidArgument:
    return InvalidArgument(
        f"bad settings: {SECRETS_DIR}: {said}",
        violations=[FieldViolation(field=SECRETS_DIR, description=said)],
    )


def settings_table(settings_type: type[ServiceSettings]) -> str:
    """Renders every setting of a service as a Markdown table, for the documentation."""
    lines = ["| flag | variable | default | meaning |", "|---|---|---|---|"]
    for name, field in settings_type.model_fields.items():
        meaning = " ".join((field.description or "").split())
        variables = " or ".join(f"`{variable}`" for variable in _variables(settings_type, name))
        lines.append(f"| `{_flag(name)}` | {variables} | {_default(field)} | {meaning} |")
    return "\n".join(lines)


def _flag(field: str) -> str:
    return "--" + field.replace("_", "-")


def _variables(settings_type: type[ServiceSettings], field: str) -> list[str]:
    prefixed = settings_type.model_config.get("env_prefix", "") + field.upper()
    shared = settings_type.shared_environment.get(field)
    return [prefixed, shared] if shared else [prefixed]


def _names(settings_type: type[ServiceSettings], field: str) -> str:
    return f"{_flag(field)} ({', '.join(_variables(settings_type, field))})"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "required"
    if value is None or value == "" or isinstance(value, SecretStr):
        return ""
    return f"`{value}`"
