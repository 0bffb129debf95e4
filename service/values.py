"""What settings may hold: types that read a text of the environment and check it. A fault says what is wanted."""

from __future__ import annotations

import ipaddress
import math
import re
import urllib.parse
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

from service.domain import credentials, durations, masks, webhooks
from service.domain.access import Role

#: Algorithms of signatures. One that is signed with a shared secret could be made with the issuer's public key.
ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)
DATABASE_FORM = "postgresql://user:password@host:port/database"
BROKER_FORM = "amqp://user:password@host:port/vhost"
FOREVER = "forever"
#: Seconds. What is kept for less could go before its idempotency key, or on the day that it came.
LEAST_RETENTION = 2 * 86_400.0


def is_loopback(host: str) -> bool:
    """Whether this is an address, or the name, of the machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# --- lists, separated by commas -------------------------------------------------------------------------------------


def _split(value: Any) -> Any:
    return tuple(p.strip() for p in value.split(",") if p.strip()) if isinstance(value, str) else value


def _each(read: Callable[[str], Any], *, shown: bool = True) -> BeforeValidator:
    """Reads each part between commas or spaces; a fault tells which one is wrong, by its number if it is not shown."""

    def all_of(value: Any) -> Any:
        found = []
        parts = [part for part in re.split(r"[,\s]+", value) if part] if isinstance(value, str) else value
        for number, part in enumerate(parts, 1):
            try:
                found.append(read(part) if isinstance(part, str) else part)
            except ValueError as error:
                raise ValueError(f"{'' if shown else f'entry {number}: '}{error}") from None
        return tuple(found)

    return BeforeValidator(all_of)


def _role(part: str) -> tuple[str, Role]:
    value, _, role = part.rpartition("=")
    if not value or role not in tuple(Role):
        raise ValueError(f"value=role is wanted, with a role of {', '.join(Role)}, not {part}")
    return value, Role(role)


def _are_long(value: tuple[str, ...]) -> tuple[str, ...]:
    if any(len(secret) < credentials.LEAST_PEPPER for secret in value):
        raise ValueError(f"{credentials.LEAST_PEPPER} characters or more are wanted: openssl rand -hex 32")
    return value


def _are_signatures(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value or (unknown := set(value) - ALGORITHMS):
        shown = ", ".join(sorted(unknown)) if value else "nothing"
        raise ValueError(f"some of {', '.join(sorted(ALGORITHMS))} are wanted, not {shown}")
    return value


Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Peppers = Annotated[Texts, AfterValidator(_are_long)]
Masks = Annotated[Texts, AfterValidator(masks.check)]
Algorithms = Annotated[Texts, AfterValidator(_are_signatures)]
Networks = Annotated[tuple[Network, ...], NoDecode, _each(ipaddress.ip_network)]
Roles = Annotated[tuple[tuple[str, Role], ...], NoDecode, _each(_role)]
Secrets = Annotated[tuple[webhooks.Secret, ...], NoDecode, _each(webhooks.read, shown=False)]


# --- times ----------------------------------------------------------------------------------------------------------


def _is_long_enough(value: Any) -> float:
    if value in (FOREVER, math.inf):
        return math.inf
    seconds = durations.seconds(value)
    if seconds < LEAST_RETENTION:
        raise ValueError(f"two days or more are wanted, like 30d, or {FOREVER}")
    return seconds


def _is_interval(value: float) -> float:
    if 0 < value < 1:
        raise ValueError("0 or at least 1 second is wanted")
    return value


Retention = Annotated[float, BeforeValidator(_is_long_enough)]
Interval = Annotated[float, AfterValidator(_is_interval)]


# --- places ---------------------------------------------------------------------------------------------------------


def _is_address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError("host:port is wanted, like 127.0.0.1:5000")
    return value


def _is_door(value: str) -> str:
    if value and not re.fullmatch(r"https?://[^/?#@]+(/[^?#]*)?", value):
        raise ValueError("http://host:port is wanted, like http://127.0.0.1:5000")
    return value


def _is_safe(value: str) -> str:
    parts = urllib.parse.urlsplit(value)
    safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    if value and (not safe or not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc):
        raise ValueError("https://host is wanted, or http on loopback")
    return value


def _is_postgresql(value: str) -> str:
    scheme, _, rest = value.partition("://")
    if value and scheme not in ("postgresql", "postgres", "postgresql+psycopg2"):
        raise ValueError(f"{DATABASE_FORM} is wanted; no other database is supported")
    # As SQLAlchemy reads it: the first @ ends the password.
    _check_place(re.split("[/?]", rest.partition("@")[2] if "@" in rest else rest)[0], DATABASE_FORM)
    return value


def _is_broker(value: str) -> str:
    scheme, _, rest = value.partition("://")
    if value and scheme not in ("amqp", "amqps", "filesystem"):
        raise ValueError(f"{BROKER_FORM} is wanted, or filesystem:///folder for a demo")
    if scheme.startswith("amqp"):
        # As kombu reads it: the first of these characters ends it, and the last @ before that the password.
        _check_place(re.split("[/?#]", rest)[0].rpartition("@")[2], BROKER_FORM)
    return value


def _check_place(place: str, form: str) -> None:
    """Raises ValueError unless this is a host, perhaps with a port."""
    try:
        good = "@" not in place and urllib.parse.urlsplit(f"//{place}").port != 0
    except ValueError:
        good = False
    if not good:
        # The value itself is not shown: what stands where the port should be may be half of a password.
        raise ValueError(f"{form} is wanted, with a port from 1 to 65535, and / @ : # in a password as %2F %40 %3A %23")


Address = Annotated[str, AfterValidator(_is_address)]
Door = Annotated[str, AfterValidator(_is_door)]
SafeUrl = Annotated[str, AfterValidator(_is_safe)]
DatabaseUrl = Annotated[str, AfterValidator(_is_postgresql)]
BrokerUrl = Annotated[str, AfterValidator(_is_broker)]
