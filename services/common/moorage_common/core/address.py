"""Addresses, ``HOST:PORT``, and which of them plaintext may be spoken on."""

import ipaddress
import re
from dataclasses import dataclass

from moorage_common.core.errors import FailedPrecondition, FieldViolation, InvalidArgument

_PORT = re.compile(r"[0-9]{1,5}")
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a TCP port."""

    host: str
    """A name, or an IP address without brackets."""
    port: int

    @classmethod
    def parse(cls, text: str, *, field: str = "address") -> "Address":
        """Reads ``127.0.0.1:7600``, ``[::1]:7600`` or ``name:7600``.

        Args:
            text: What to read.
            field: What the error calls it.

        Raises:
            InvalidArgument: It is none of these.
        """
        host, _, port = text.rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        well_formed = _PORT.fullmatch(port) and int(port) <= 65535
        # Brackets are for what has colons, and for nothing else.
        if not (well_formed and is_host(bare) and (bare != host) == (":" in bare)):
            rule = "must look like 127.0.0.1:7600, [::1]:7600 or name:7600"
            raise InvalidArgument(
                f"{field} is invalid: {text!r}: {rule}",
                violations=[FieldViolation(field=field, description=rule)],
            )
        return cls(bare, int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can be at the other end."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def with_port(self, port: int) -> "Address":
        """Returns the same host with another port."""
        return Address(self.host, port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_host(text: str) -> bool:
    """Whether a text can name a host: an IP address without brackets, or a name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        # What ends in a number is meant to be an IP address, and is none.
        return bool(_NAME.fullmatch(text)) and not text.rstrip(".").rpartition(".")[2].isdigit()
    return True


def require_plaintext_allowed(address: Address, *, insecure: bool) -> None:
    """Refuses to speak plaintext with other machines unless that was asked for.

    Raises:
        FailedPrecondition: The address is not loopback and `insecure` was not said.
    """
    if not (address.is_loopback or insecure):
        raise FailedPrecondition(
            f"{address.host} is not a loopback address, and nothing there would be encrypted or authenticated",
            remedy="Use a loopback address, or say --insecure if the network between is trusted.",
        )
