"""The guard: which addresses a request may go to."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from workers.http import guard


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.8.8.8", "168.63.129.16",
        "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1",
        "192.168.0.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1",
        "255.255.255.255",
        "::", "::1", "::7f00:1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::10.0.0.1", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1",
        "2002:7f00:1::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1",
        "ff02::1",
    ],
)  # fmt: skip
def test_what_is_not_the_worlds_is_refused(address: str) -> None:
    with pytest.raises(guard.Forbidden, match="MILLRACE_REQUEST_NETWORKS may allow its network"):
        guard.check("host.example", address, ())


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "172.15.0.1", "172.32.0.1", "100.128.0.1", "192.167.255.255", "198.20.0.1", "223.255.255.1",
     "2606:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"],
)  # fmt: skip
def test_what_is_the_worlds_is_allowed(address: str) -> None:
    guard.check("host.example", address, ())


def test_our_table_refuses_whatever_python_calls_private() -> None:
    spaces: list[guard.Network] = [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]
    for space in spaces:
        step = max(1, space.num_addresses // 60_000)
        for number in range(0, space.num_addresses, step):
            address = space[number]
            if not address.is_global or address.is_multicast:
                assert not guard._is_open(guard._unwrapped(address)), address


@pytest.mark.parametrize(
    ("network", "address", "allowed"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("10.0.0.0/8", "192.168.0.1", False),
        ("127.0.0.1/32", "127.0.0.2", False),
        ("fd00::/8", "fd12::1", True),
        ("fd00::/8", "10.0.0.1", False),
        ("0.0.0.0/0", "169.254.169.254", True),
    ],
)
def test_a_setting_allows_networks(network: str, address: str, allowed: bool) -> None:
    known = [ipaddress.ip_network(network)]
    if allowed:
        guard.check("host.example", address, known)
    else:
        with pytest.raises(guard.Forbidden):
            guard.check("host.example", address, known)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "0", "localhost", "[::1]".strip("[]")])
def test_an_address_in_disguise_is_one(host: str) -> None:
    with pytest.raises(guard.Forbidden):
        guard.resolve(host, 80, ())


def test_one_closed_address_among_open_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, 80)) for text in ("93.184.216.34", "169.254.169.254")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with pytest.raises(guard.Forbidden, match=r"two\.example is 169\.254\.169\.254"):
        guard.resolve("two.example", 80, ())


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(guard.Forbidden, match="no name of a host"):
        guard.resolve("a" * 70 + ".example", 80, ())
