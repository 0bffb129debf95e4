"""The fault proxy does what its words say, seen from both ends of a plain TCP connection."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from service.local import ports
from tests.faults.proxy import DOWN, UP, Cut, Proxy
from tests.patience import PATIENCE, wait

Ends = tuple[socket.socket, socket.socket]  #: of a client, of the server
SILENCE = 0.3  #: seconds in which nothing comes, where nothing shall come


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """The server behind the proxy."""
    with contextlib.closing(socket.create_server((ports.LOOPBACK, 0))) as listening:
        yield listening


@pytest.fixture
def proxy(listener: socket.socket) -> Iterator[Proxy]:
    found = Proxy(listener.getsockname()[1]).start()
    yield found
    found.stop()


@pytest.fixture
def connect(listener: socket.socket, proxy: Proxy) -> Iterator[Callable[[], Ends]]:
    """Makes connections through the proxy; their two ends."""
    listener.settimeout(10 * PATIENCE)
    with contextlib.ExitStack() as stack:

        def make() -> Ends:
            client = stack.enter_context(socket.create_connection((ports.LOOPBACK, proxy.port), 10 * PATIENCE))
            server = stack.enter_context(listener.accept()[0])
            server.settimeout(10 * PATIENCE)
            return client, server

        yield make


@pytest.fixture
def ends(connect: Callable[[], Ends]) -> Ends:
    """One connection: its client's end and its server's."""
    return connect()


def read(end: socket.socket, size: int) -> bytes:
    """So many bytes, or all until the end."""
    found = b""
    while len(found) < size and (part := end.recv(size - len(found))):
        found += part
    return found


def is_silent(end: socket.socket) -> bool:
    """Whether nothing comes for a while, no end either."""
    return not select.select([end], [], [], SILENCE)[0]


def is_reset(end: socket.socket) -> bool:
    """Whether the connection was broken by an RST."""
    try:
        while end.recv(1):
            pass
    except OSError as error:
        return error.errno == errno.ECONNRESET
    return False


def is_refused(proxy: Proxy) -> bool:
    """Whether a new connection is reset, be it while it is made."""
    try:
        with socket.create_connection((ports.LOOPBACK, proxy.port), 5) as client:
            return is_reset(client)
    except ConnectionResetError:
        return True


def test_bytes_and_ends_pass_in_both_directions(ends: Ends) -> None:
    client, server = ends
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    assert read(server, 100) == b"question"
    server.sendall(b"answer")
    server.close()
    assert read(client, 100) == b"answer"


def test_latency_is_added_in_each_direction(ends: Ends, proxy: Proxy) -> None:
    client, server = ends
    with proxy.weather_of(latency=0.2, jitter=0.1):
        begin = time.monotonic()
        client.sendall(b"?")
        read(server, 1)
        server.sendall(b"!")
        read(client, 1)
    assert time.monotonic() - begin >= 0.4


def test_a_narrow_line_takes_its_time(ends: Ends, proxy: Proxy) -> None:
    client, server = ends
    with proxy.weather_of(rate=8_000):
        begin = time.monotonic()
        client.sendall(b"x" * 4_000)
        assert len(read(server, 4_000)) == 4_000
    assert 0.3 < time.monotonic() - begin < 3.0 * PATIENCE


def test_what_vanishes_arrives_when_the_way_is_clear(ends: Ends, proxy: Proxy) -> None:
    client, server = ends
    with proxy.weather_of(lost=True):
        client.sendall(b"word")
        client.close()
        assert is_silent(server)
    assert read(server, 100) == b"word"


def test_a_new_connection_into_the_void_gets_no_answer_and_no_refusal(listener: socket.socket, proxy: Proxy) -> None:
    with proxy.weather_of(lost=True), socket.create_connection((ports.LOOPBACK, proxy.port), 5) as client:
        assert is_silent(client)
        assert is_silent(listener)


def test_a_pause_fills_the_buffers_of_who_writes(ends: Ends, proxy: Proxy) -> None:
    client, server = ends
    client.sendall(b"x")
    assert read(server, 1) == b"x"
    sent, much = 0, 100_000_000
    with proxy.weather_of(paused=True), contextlib.suppress(TimeoutError):
        client.settimeout(SILENCE)
        while sent < much:
            sent += client.send(b"y" * 65_536)
    assert sent < much
    assert len(read(server, sent)) == sent


def test_a_reset_is_seen_at_both_ends(ends: Ends, proxy: Proxy) -> None:
    client, server = ends
    wait(lambda: proxy.links, 5, "the proxy knows the connection")
    assert proxy.reset() == 1
    assert is_reset(client)
    assert is_reset(server)


def test_a_reset_at_one_end_is_a_reset_at_the_other(ends: Ends) -> None:
    client, server = ends
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    assert is_reset(server)


def test_half_closed_connections_carry_the_other_direction(ends: Ends, proxy: Proxy) -> None:
    client, server = ends
    wait(lambda: proxy.links, 5, "the proxy knows the connection")
    proxy.half_close(DOWN)
    assert client.recv(1) == b""
    client.sendall(b"still here")
    assert read(server, 10) == b"still here"


@pytest.mark.parametrize("direction", [UP, DOWN])
@pytest.mark.parametrize("after", [0, 1, 7, 10])
def test_a_connection_is_cut_after_so_many_bytes_and_the_next_is_not(
    connect: Callable[[], Ends], proxy: Proxy, direction: str, after: int
) -> None:
    before = connect()
    proxy.cut(Cut(direction, after))
    cut = connect()
    afterwards = connect()
    for ends, passes in ((before, 10), (cut, after), (afterwards, 10)):
        source, sink = ends if direction == UP else reversed(ends)
        source.sendall(b"0123456789")
        assert read(sink, passes) == b"0123456789"[:passes]
    assert is_reset(cut[0])
    assert is_reset(cut[1])
    assert proxy.cuts == 1


def test_a_cut_at_some_words_lets_pass_what_stands_before_them(connect: Callable[[], Ends], proxy: Proxy) -> None:
    client, server = connect()
    proxy.cut(Cut(DOWN, words=b"COMMIT", since=b"insert"))
    client.sendall(b"select")
    server.sendall(b"COMMIT 1;")
    assert read(client, 9) == b"COMMIT 1;"
    client.sendall(b"insert")
    read(server, 12)
    server.sendall(b"well: COMMIT 2;")
    assert read(client, 6) == b"well: "
    assert is_reset(client)
    assert is_reset(server)


def test_a_silent_cut_leaves_both_ends_open_and_alone(connect: Callable[[], Ends], proxy: Proxy) -> None:
    proxy.cut(Cut(UP, 2, silent=True))
    client, server = connect()
    client.sendall(b"1234")
    assert read(server, 2) == b"12"
    server.sendall(b"?")
    assert is_silent(server)
    assert is_silent(client)


def test_a_corrupt_line_changes_what_passes(ends: Ends, proxy: Proxy) -> None:
    client, server = ends
    with proxy.weather_of(corrupt=UP):
        client.sendall(b"\x00abc")
        assert read(server, 4) == b"\xffabc"
    server.sendall(b"fine")
    assert read(client, 4) == b"fine"


def test_a_server_that_is_not_there_resets_its_clients(listener: socket.socket, proxy: Proxy) -> None:
    listener.close()
    assert is_refused(proxy)


def test_new_connections_can_be_refused_while_old_ones_go_on(ends: Ends, proxy: Proxy) -> None:
    client, server = ends
    with proxy.weather_of(refused=True):
        assert is_refused(proxy)
        client.sendall(b"on")
        assert read(server, 2) == b"on"
