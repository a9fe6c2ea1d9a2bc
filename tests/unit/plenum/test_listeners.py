"""Listening sockets: taken ports, missing addresses, one port on all."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

import pytest

from plenum.listeners import listen, port_of
from plenum.startup import StartupError

if TYPE_CHECKING:
    from collections.abc import Iterator

ABSENT = "203.0.113.1"
"""Reserved for documentation (RFC 5737): no machine has it."""


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def listened(*addresses: str, port: int = 0) -> list[socket.socket]:
    return listen(addresses, port, key="port", flag="--port")


def closed(sockets: list[socket.socket]) -> None:
    for bound in sockets:
        bound.close()


def test_a_taken_port_is_one_clear_line(taken: int) -> None:
    with pytest.raises(StartupError) as refused:
        listened("127.0.0.1", port=taken)
    assert str(refused.value) == (
        f"127.0.0.1:{taken} is taken by another program; stop it or choose another port with --port or port"
    )


def test_a_port_that_is_not_allowed_names_the_capability(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> socket.socket:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(
        StartupError, match=r"127\.0\.0\.1:80 is not allowed: .* CAP_NET_BIND_SERVICE .* --port or port"
    ):
        listened("127.0.0.1", port=80)


def test_an_address_that_is_missing_is_left_out_while_another_works() -> None:
    sockets = listened("127.0.0.1", ABSENT)
    assert [bound.getsockname()[0] for bound in sockets] == ["127.0.0.1"]
    closed(sockets)
    with pytest.raises(StartupError, match=f"this machine has no address {ABSENT}"):
        listened(ABSENT)


def test_a_free_port_is_the_same_on_all_addresses() -> None:
    sockets = listened("127.0.0.1", "127.0.0.2")
    assert {bound.getsockname()[1] for bound in sockets} == {port_of(sockets)}
    closed(sockets)


def test_no_address_means_all_of_them() -> None:
    sockets = listened()
    with socket.create_connection(("127.0.0.1", port_of(sockets)), timeout=5):
        pass
    closed(sockets)


def test_earlier_sockets_are_closed_when_a_later_one_is_taken(taken: int) -> None:
    with pytest.raises(StartupError, match="taken"):
        listened("127.0.0.2", "127.0.0.1", port=taken)
    closed(listened("127.0.0.2", port=taken))
