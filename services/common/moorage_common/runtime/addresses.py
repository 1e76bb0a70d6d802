"""Types of settings that say where something is. A bad one is told when settings are read, before anything starts.

listen: ListenAddress = "127.0.0.1:7600"
registry_address: ServerAddress = "127.0.0.1:7600"
advertise_address: MaybeServerAddress = ""
"""

from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from moorage_common.core.address import Address, is_host
from moorage_common.core.errors import InvalidArgument


def _address(text: str) -> str:
    try:
        Address.parse(text)
    except InvalidArgument as error:
        raise _wrong(f"{error.violations[0].description}, not {text!r}") from None
    return text


def _server_address(text: str) -> str:
    if Address.parse(_address(text)).port == 0:
        raise _wrong(f"{text!r} has no port that anything can be reached on")
    return text


def _host(text: str) -> str:
    if not is_host(text):
        raise _wrong(f"must be an IP address or a host's name, without a port, not {text!r}")
    return text


def _web_url(text: str) -> str:
    # Never repeated: it may hold a password.
    if not _is_web_url(text):
        raise _wrong("must look like https://host or http://host:port")
    return text


def _is_web_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and is_host(parts.hostname or "") and parts.port != 0
    except ValueError:
        # The port, or the brackets of an IPv6 address.
        return False


def _or_nothing(check: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: text and check(text)


def _wrong(said: str) -> PydanticCustomError:
    return PydanticCustomError("address", "{said}", {"said": said})


ListenAddress = Annotated[str, AfterValidator(_address)]
"""HOST:PORT to listen on; port 0 is any free one."""
ServerAddress = Annotated[str, AfterValidator(_server_address)]
"""HOST:PORT of somebody who listens."""
MaybeServerAddress = Annotated[str, AfterValidator(_or_nothing(_server_address))]
"""The same, or nothing."""
HostName = Annotated[str, AfterValidator(_host)]
"""An IP address without brackets, or a host's name."""
MaybeHostName = Annotated[str, AfterValidator(_or_nothing(_host))]
"""The same, or nothing."""
WebUrl = Annotated[str, AfterValidator(_web_url)]
"""A URL, http or https."""
MaybeWebUrl = Annotated[str, AfterValidator(_or_nothing(_web_url))]
"""The same, or nothing."""
