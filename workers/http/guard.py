"""The guard against requests into networks that are not the world's: who may post an event must not reach them by it.

A name is resolved once, every address that it has is checked, and the connection goes to a checked address: a name that
means something else a moment later (DNS rebinding) helps nobody. Redirects are not followed at all.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from service.domain import errors

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: What is not the world's. Source: the IANA registries of special-purpose addresses, IPv4 and IPv6, of 2025.
CLOSED_4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by carriers, and the metadata of one cloud (100.100.100.200)
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # a public address that is the host of a virtual machine in one cloud
        "169.254.0.0/16",  # link-local, and the metadata of most clouds (169.254.169.254)
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocols
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
#: Of IPv6 only this is the world's …
OPEN_6 = ipaddress.IPv6Network("2000::/3")
#: … without these.
CLOSED_6 = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # protocols, and Teredo, which wraps an IPv4 address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which wraps an IPv4 address
        "3fff::/20",  # documentation
    )
)
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  #: wraps an IPv4 address in its last 32 bits


class Forbidden(errors.MillraceError):
    """This address is not allowed."""


def resolve(host: str, port: int, allowed: Sequence[Network]) -> list[tuple[socket.AddressFamily, str]]:
    """The addresses of a host, all of them checked. Raises Forbidden, or OSError when there is no such host."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:  # A label that is empty, or longer than a name's may be.
        raise Forbidden(f"{host!r} is no name of a host") from None
    addresses: dict[tuple[socket.AddressFamily, str], None] = {}
    for family, _, _, _, place in found:
        addresses[family, str(place[0])] = None
    for _, address in addresses:
        check(host, address, allowed)
    return list(addresses)


def check(host: str, text: str, allowed: Sequence[Network]) -> None:
    """Raises Forbidden for an address that is neither the world's nor in an allowed network."""
    address = _unwrapped(ipaddress.ip_address(text.partition("%")[0]))
    if any(address in network for network in allowed if network.version == address.version) or _is_open(address):
        return
    raise Forbidden(
        f"{host} is {text}, which is no address of the public internet: MILLRACE_REQUEST_NETWORKS may allow its network"
    )


def _is_open(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in CLOSED_4)
    return address in OPEN_6 and not any(address in network for network in CLOSED_6)


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, or itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address
