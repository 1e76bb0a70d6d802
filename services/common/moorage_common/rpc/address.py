"""Addresses, ``HOST:PORT``, and which of them plaintext may be spoken on."""

import ipaddress
from dataclasses import dataclass

from moorage_common.core.errors import FailedPrecondition, FieldViolation, InvalidArgument


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
        host, colon, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if bracketed:
            host = host[1:-1]
        well_formed = colon and host and port.isascii() and port.isdigit() and int(port) <= 65535
        if not well_formed or (":" in host and not bracketed):
            rule = "must look like 127.0.0.1:7600, [::1]:7600 or name:7600"
            raise InvalidArgument(
                f"{field} is invalid: {text!r}: {rule}",
                violations=[FieldViolation(field=field, description=rule)],
            )
        return cls(host, int(port))

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


def require_plaintext_allowed(address: Address, *, insecure: bool) -> None:
    """Refuses to speak plaintext with other machines unless that was asked for.

    Raises:
        FailedPrecondition: The address is not loopback and `insecure` was not said.
    """
    if not (address.is_loopback or insecure):
        raise FailedPrecondition(
            f"{address} is not a loopback address, and nothing there would be encrypted or authenticated",
            remedy="Use a loopback address, or say --insecure if the network between is trusted.",
        )
