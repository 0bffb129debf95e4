"""A socket that a service manager hands over; ``tests/deploy/test_socket.py`` has whole doors on such."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest

from service.domain import errors
from service.settings import Settings
from service.web import handed

Hand = Callable[..., None]


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A socket on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield found


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    """Hands a socket to this process, as a service manager does to one that it starts."""

    def hand(given: int, *, number: str = "1", pid: int | None = None) -> None:
        monkeypatch.setattr(handed, "FIRST", given)
        monkeypatch.setenv("LISTEN_PID", str(pid or os.getpid()))
        monkeypatch.setenv("LISTEN_FDS", number)

    return hand


def at(host: str, port: int) -> Settings:
    """A door at this address."""
    return Settings.model_construct(http=f"{host}:{port}")


def test_nothing_is_handed_over_unless_it_is_for_this_process(listening: socket.socket, hand: Hand) -> None:
    address = at(*listening.getsockname())
    assert not handed.is_open(address)
    hand(listening.fileno(), pid=os.getppid())
    assert not handed.is_open(address)
    hand(listening.fileno())
    assert handed.is_open(address)
    assert listening.fileno() >= 0, "it was closed"
    assert not listening.get_inheritable()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_address_is_that_of_the_setting(listening: socket.socket, hand: Hand, host: str) -> None:
    hand(listening.fileno())
    port = listening.getsockname()[1]
    assert handed.is_open(at(host, port))
    for other in (at(host, port + 1), at("0.0.0.0", port), at("[::1]", port)):
        with pytest.raises(errors.SettingsError, match=f"MILLRACE_HTTP.*127.0.0.1:{port}.*ListenStream"):
            handed.is_open(other)


def test_version_6_is_an_address_like_another(hand: Hand) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as found:
        hand(found.fileno())
        port = found.getsockname()[1]
        assert handed.is_open(at("[::1]", port))
        with pytest.raises(errors.SettingsError, match=rf"\[::1\]:{port}"):
            handed.is_open(at("127.0.0.1", port))


def test_what_is_no_listening_socket_is_refused(hand: Hand) -> None:
    with socket.socket() as silent, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, open(os.devnull) as file:
        for given in (silent.fileno(), other.fileno(), file.fileno(), 999):
            hand(given)
            with pytest.raises(errors.SettingsError, match="LISTEN_FDS=1: what was handed over is no socket"):
                handed.is_open(at("127.0.0.1", 5000))


def test_one_socket_is_wanted(listening: socket.socket, hand: Hand) -> None:
    hand(listening.fileno(), number="2")
    with pytest.raises(errors.SettingsError, match="one socket is wanted"):
        handed.is_open(at(*listening.getsockname()))
