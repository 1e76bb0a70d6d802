import socket
from collections.abc import Iterator

import pytest

from moorage_cli.launcher.ports import choose_addresses
from moorage_common.core.errors import Unavailable

NAMES = ("registry", "scheduler", "downloader")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening


def port(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_a_new_block_is_consecutive_and_steps_over_what_is_taken(listener: socket.socket) -> None:
    taken: int = listener.getsockname()[1]
    chosen = choose_addresses(NAMES, known={}, first_port=taken - 1)
    ports = [port(chosen[name]) for name in NAMES]
    assert ports == [ports[0], ports[0] + 1, ports[0] + 2]
    assert (ports[0] - (taken - 1)) % 10 == 0
    assert taken not in ports


def test_known_addresses_are_kept_while_they_are_free() -> None:
    known = choose_addresses(NAMES, known={})
    assert choose_addresses(NAMES, known=known, first_port=20000) == known


def test_a_taken_or_missing_known_address_means_a_new_block(listener: socket.socket) -> None:
    known = choose_addresses(NAMES, known={}, first_port=21000)
    taken = {**known, "scheduler": f"127.0.0.1:{listener.getsockname()[1]}"}
    assert choose_addresses(NAMES, known=taken, first_port=22000) != taken
    assert set(choose_addresses((*NAMES, "hub"), known=known)) == {*NAMES, "hub"}


def test_no_free_block_is_said() -> None:
    with pytest.raises(Unavailable, match="no 3 consecutive loopback ports"):
        choose_addresses(NAMES, known={}, first_port=65534)
