"""Whence a request comes: its address, and while access is off, whether it comes from here at all."""

from __future__ import annotations

import functools
import ipaddress
import urllib.parse
from collections.abc import Collection, Iterable
from typing import Any

from service.domain import errors
from service.values import is_loopback

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})  #: methods that change nothing
#: What ``Sec-Fetch-Site`` says of our own pages, and of what a person typed; ``same-site`` is any port of this host.
OUR_SITES = frozenset({None, "same-origin", "none"})
DEFAULT_PORTS = {"http": ":80", "https": ":443"}  #: of a scheme; browsers leave them out


def address(environ: dict[str, Any], proxies: Collection[Any]) -> str:
    """The nearest address that is not one of our proxies; ``proxies``: their networks."""
    found: str = environ.get("REMOTE_ADDR", "")
    if proxies:
        hops = [hop.strip() for hop in environ.get("HTTP_X_FORWARDED_FOR", "").split(",")]
        while hops and _is_in(found, proxies) and _is_address(hops[-1]):
            found = hops.pop()
    return found


def network(address: str) -> str:
    """What requests of an address are counted by: of IPv6 the first 64 bits, which belong to one (RFC 6177)."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))


@functools.lru_cache(maxsize=1024)
def is_here(asked: str, public_url: str) -> bool:
    """Whether a ``Host`` names this machine, or what the settings call it. A browser can be made to take any other name
    for this machine's address, and then lets the pages of that name read what is here (DNS rebinding).
    """
    name = host(asked)
    return is_loopback(name) or (bool(name) and name == host(place(public_url)))


def check_here(environ: dict[str, Any], public_url: str = "") -> None:
    """Access is off: whoever sits here is an admin, but no page of another origin that they look at. One of another
    port may not have anything done, either; what it reads, its browser keeps from it.

    Raises NotPermitted.
    """
    if not is_here(environ.get("HTTP_HOST", "localhost"), public_url):
        raise errors.NotPermitted(
            "access is off here (MILLRACE_ACCESS), and this host was asked for by another name than its own: ask for"
            " localhost, or set MILLRACE_PUBLIC_URL"
        )
    if environ["REQUEST_METHOD"] not in SAFE and not is_ours(environ, environ.get("HTTP_HOST", ""), public_url):
        raise errors.NotPermitted(
            "access is off here (MILLRACE_ACCESS), and a page of another origin asks: of another host, or another port"
        )
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None and not is_here(place(origin), public_url):
        raise errors.NotPermitted("access is off here (MILLRACE_ACCESS), and a page of another site asks")
    hops = environ.get("HTTP_X_FORWARDED_FOR", "")
    if hops and not all(is_loopback(hop.strip()) for hop in hops.split(",")):
        raise errors.NotPermitted("access is off here (MILLRACE_ACCESS), and a proxy brings somebody from elsewhere")


def is_ours(environ: dict[str, Any], asked: str, public_url: str) -> bool:
    """Whether a request comes from a page of this ``Host``, or of what the settings call it, or from none, by what
    browsers say; no other program says anything.
    """
    site, origin = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")
    if origin is None or site not in OUR_SITES:
        return site in OUR_SITES
    # A Host says no scheme: it is the page's own, for behind a proxy ours is another.
    ours = (place(f"{origin.partition(':')[0]}://{asked}"), place(public_url))
    return bool(place(origin)) and place(origin) in ours


def place(origin: str) -> str:
    """The host and the port in an ``Origin``, as browsers write them, without the port that the scheme has anyway;
    nothing for what is none.
    """
    try:
        parts = urllib.parse.urlsplit(origin)
    except ValueError:
        return ""
    return parts.netloc.lower().removesuffix(DEFAULT_PORTS.get(parts.scheme, ":"))


def host(place: str) -> str:
    """The host in ``host:port``; nothing for what is none."""
    try:
        return urllib.parse.urlsplit(f"//{place}").hostname or ""
    except ValueError:
        return ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_in(text: str, networks: Iterable[Any]) -> bool:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    return any(found in network for network in networks)
