import pytest

from moorage_common.core.address import Address, require_plaintext_allowed
from moorage_common.core.errors import FailedPrecondition, InvalidArgument


@pytest.mark.parametrize(
    "text", ["127.0.0.1:7600", "[::1]:7600", "localhost:0", "registry.example:65535", "my_host-1.:1"]
)
def test_an_address_is_written_as_it_was_read(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ":",
            ":7600",
            "host:",
            "host",
            "host:65536",
            "host:-1",
            "host:٣",
            "::1:1",
            "host:" + "1" * 5000,
        ),
        *(
            "http://host:1",
            "host/path:1",
            "a b:1",
            " host:1",
            "host:1 ",
            "a..b:1",
            "[host]:1",
            "[127.0.0.1]:1",
        ),
        *("[::1:1", "[::g]:1", "127.1:1", "300.0.0.1:1", "hôst:1", "user@host:1"),
    ],
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
