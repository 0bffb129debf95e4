"""Whence a request comes: its address, and while access is off, whether it comes from here at all."""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Collection, Iterable
from typing import Any

from service.domain import errors
from service.values import is_loopback

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})  #: methods that change nothing


def address(environ: dict[str, Any], proxies: Collection[Any]) -> str:
    """The nearest address that is not one of our proxies; ``proxies``: their networks."""
    found: str = environ.get("REMOTE_ADDR", "")
    if proxies:
        hops = [hop.strip() for hop in environ.get("HTTP_X_FORWARDED_FOR", "").split(",")]
        while hops and _is_in(found, proxies) and _is_address(hops[-1]):
            found = hops.pop()
    return found


def check_here(environ: dict[str, Any]) -> None:
    """Access is off: whoever sits here is an admin, but no page of another site that they look at.

    Raises NotPermitted.
    """
    origin = environ.get("HTTP_ORIGIN")
    foreign = environ.get("HTTP_SEC_FETCH_SITE") == "cross-site" and environ["REQUEST_METHOD"] not in SAFE
    if foreign or (origin is not None and not is_loopback(host(place(origin)))):
        raise errors.NotPermitted("access is off here (MILLRACE_ACCESS), and a page of another site asks")
    hops = environ.get("HTTP_X_FORWARDED_FOR", "")
    if hops and not all(is_loopback(hop.strip()) for hop in hops.split(",")):
        raise errors.NotPermitted("access is off here (MILLRACE_ACCESS), and a proxy brings somebody from elsewhere")


def place(origin: str) -> str:
    """The host and the port in an ``Origin``; nothing for what is none."""
    try:
        return urllib.parse.urlsplit(origin).netloc
    except ValueError:
        return ""


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
