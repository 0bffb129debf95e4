"""What must not be off by accident: the checks that a process makes before it starts, and `millrace doctor` shows.

On a machine of its own, where the door, the ledger and the broker are all on loopback, defaults may be loose; anywhere
else each of these faults is a refusal (exit code 78) with its cure, and what is meant is said by a setting.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import re
import urllib.parse
from collections.abc import Iterable

from service import settings as configuration
from service.domain import errors
from service.settings import Settings

#: Roles that listen, or run what others have written. A command on the host ends at once.
DAEMONS = ("web", "worker", "clock", "up", "stack", "monitor")
METRICS_OF_WEB = 9101  #: where /metrics of a web process is unless the settings say otherwise
#: Modes of libpq that never go on without TLS; only the last two look at the server's certificate.
ENCRYPTED = ("require", "verify-ca", "verify-full")


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    fault: str  #: what is wrong, and the cure; empty when nothing is
    well: str  #: what is said when nothing is


def refuse(settings: Settings, role: str) -> None:
    """Raises SettingsError, with a line for each fault, when this role must not start."""
    faults = [check.fault for check in checks(settings, role) if check.fault]
    if faults:
        raise errors.SettingsError("\n".join(faults))


def checks(settings: Settings, role: str) -> list[Check]:
    """All checks, good and bad."""
    return [
        Check("broker user", _broker_user(settings), "the broker's user is no default one"),
        Check("broker encryption", _broker_plain(settings), _how_broker(settings)),
        Check("ledger encryption", _ledger_plain(settings), _how_ledger(settings)),
        Check("debug", _debug(settings), "nobody is shown tracebacks"),
        Check("root", _root(settings, role), "no process that others reach runs as root, unless it is allowed to"),
        Check("metrics port", _metrics_port(settings), "metrics have a port of their own"),
    ]


def accepts(content: Iterable[str]) -> str:
    """What is wrong with the content types that a worker takes; empty when it takes JSON alone."""
    other = sorted({*content} - {"json", "application/json"})
    return f"Celery's accept_content has {', '.join(other)}: leave it at json, whatever an app sets" if other else ""


def confined(settings: Settings) -> bool:
    """Whether door, ledger and broker are all on this machine, and reached from it only."""
    return is_loopback(settings.host) and _ledger_is_here(settings) and _broker_is_here(settings)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: nothing, a socket's folder, localhost or an address of loopback."""
    if not host or host.startswith("/") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _broker_user(settings: Settings) -> str:
    before, _ = _broker(settings)
    user, _, password = before.partition(":")
    known = (urllib.parse.unquote(user) or "guest", urllib.parse.unquote(password) or "guest") == ("guest", "guest")
    if _broker_is_here(settings) or not known:
        return ""
    return "MILLRACE_BROKER_URL: guest with the password guest on another machine: make a user of your own"


def _broker_plain(settings: Settings) -> str:
    if _broker_is_here(settings) or settings.allow_plaintext or settings.broker_url.startswith("amqps:"):
        return ""
    return (
        "MILLRACE_BROKER_URL: passwords would cross the network in clear: amqps:// is wanted"
        " (MILLRACE_ALLOW_PLAINTEXT=1 where the network itself is safe)"
    )


def _ledger_plain(settings: Settings) -> str:
    if _ledger_is_here(settings) or settings.allow_plaintext or _sslmode(settings) in ENCRYPTED:
        return ""
    return (
        "MILLRACE_DATABASE_URL: events would cross the network in clear: ?sslmode=verify-full is wanted"
        " (MILLRACE_ALLOW_PLAINTEXT=1 where the network itself is safe)"
    )


def _debug(settings: Settings) -> str:
    value = configuration.environment("FLASK_DEBUG").lower()
    if value in ("", "0", "false", "no") or is_loopback(settings.host):
        return ""
    return f"FLASK_DEBUG={value} while MILLRACE_HTTP={settings.http} is open to others: unset FLASK_DEBUG"


def _root(settings: Settings, role: str) -> str:
    if os.getuid() != 0 or settings.allow_root or confined(settings) or role not in DAEMONS:
        return ""
    return "a process that others reach runs as root: run it as another user (MILLRACE_ALLOW_ROOT=1 if it must be)"


def _metrics_port(settings: Settings) -> str:
    if settings.port != (settings.metrics_port or METRICS_OF_WEB):
        return ""
    return f"MILLRACE_METRICS_PORT: {settings.port} is the port of MILLRACE_HTTP: choose another for one of them"


def _how_broker(settings: Settings) -> str:
    if settings.broker_url.startswith("amqps:"):
        return "TLS, certificate and name checked"
    return "on this machine" if _broker_is_here(settings) else "in clear, as MILLRACE_ALLOW_PLAINTEXT says"


def _how_ledger(settings: Settings) -> str:
    mode = _sslmode(settings)
    if mode in ENCRYPTED:
        advice = "" if mode == "verify-full" else "; verify-full would check that it is the right server, too"
        return f"TLS, sslmode={mode}{advice}"
    return "on this machine" if _ledger_is_here(settings) else "in clear, as MILLRACE_ALLOW_PLAINTEXT says"


def _broker_is_here(settings: Settings) -> bool:
    return not settings.broker_url.startswith("amqp") or is_loopback(_host(_broker(settings)[1]))


def _broker(settings: Settings) -> tuple[str, str]:
    """(user and password, host and port), as kombu reads them."""
    rest = re.split("[/?#]", settings.broker_url.partition("://")[2])[0]
    before, _, place = rest.rpartition("@")
    return before, place


def _ledger_is_here(settings: Settings) -> bool:
    place, query = _ledger(settings)
    lists = query.get("host", [place])  # libpq takes several in one, a comma between them.
    return all(is_loopback(_host(name)) for names in lists for name in names.split(","))


def _ledger(settings: Settings) -> tuple[str, dict[str, list[str]]]:
    """(host and port, query), as SQLAlchemy reads them: the first @ ends the password."""
    rest = settings.database_url.partition("://")[2]
    after = rest.partition("@")[2] if "@" in rest else rest
    return re.split("[/?]", after)[0], urllib.parse.parse_qs(after.partition("?")[2])


def _sslmode(settings: Settings) -> str:
    return (_ledger(settings)[1].get("sslmode") or [configuration.environment("PGSSLMODE")])[-1]


def _host(place: str) -> str:
    return (urllib.parse.urlsplit(f"//{place}").hostname or "") if not place.startswith("/") else place
