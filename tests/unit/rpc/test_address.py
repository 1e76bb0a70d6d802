import pytest

from moorage_common.core.errors import FailedPrecondition, InvalidArgument
from moorage_common.rpc.address import Address, require_plaintext_allowed


@pytest.mark.parametrize("text", ["127.0.0.1:7600", "[::1]:7600", "localhost:0", "registry.example:65535"])
def test_an_address_is_written_as_it_was_read(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", ":", ":7600", "host:", "host", "host:65536", "host:-1", "host:٣", "::1:1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        Address.parse(text)


@pytest.mark.parametrize("text", ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"])
def test_loopback_may_be_spoken_to_in_plaintext(text: str) -> None:
    require_plaintext_allowed(Address.parse(text), insecure=False)


@pytest.mark.parametrize("text", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "localhost.example.org:1"])
def test_anything_else_only_if_said_aloud(text: str) -> None:
    with pytest.raises(FailedPrecondition):
        require_plaintext_allowed(Address.parse(text), insecure=False)
    require_plaintext_allowed(Address.parse(text), insecure=True)
