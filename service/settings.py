"""The settings: one frozen object, read once from the environment. No other file of the core reads it.

Each field is ``MILLRACE_<NAME>`` in the environment; a secret may stand in a file named by ``MILLRACE_<NAME>_FILE``.
"""

from __future__ import annotations

import ipaddress
import os
import pathlib
import re
import urllib.parse
from collections.abc import Callable
from typing import Annotated, Any

import pydantic
import pydantic_settings

from service.domain import errors, webhooks

PREFIX = "MILLRACE_"
#: Settings that may be given as the path of a file, so that a secret stands in no environment.
SECRETS = ("database_url", "broker_url", "webhook_secrets", "api_key")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
DATABASE_FORM = "postgresql://user:password@host:port/database"
BROKER_FORM = "amqp://user:password@host:port/vhost"


class Settings(pydantic_settings.BaseSettings):
    """All settings with their defaults."""

    model_config = pydantic_settings.SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", str_strip_whitespace=True
    )

    #: PostgreSQL, as ``postgresql://user:password@host:port/database``. Empty: `millrace up` starts a private one.
    database_url: str = ""
    #: RabbitMQ, as ``amqp://user:password@host:port/vhost``, or ``filesystem:///folder`` for demos.
    broker_url: str = ""
    #: Packages with handlers, schedules and views, separated by commas.
    apps: Annotated[tuple[str, ...], pydantic_settings.NoDecode] = ()
    #: Where the web process listens, as ``host:port``.
    http: str = "127.0.0.1:5000"
    #: Where the command line finds the API, as ``http://host:port``. Empty: it works on the database itself.
    url: str = ""
    #: The key that the command line shows there.
    api_key: str = pydantic.Field("", repr=False)
    #: Processes of the web server. One or two per host bundle best.
    web_processes: int = pydantic.Field(1, ge=1, le=64)
    #: Threads of each web process: how many requests it works on at once.
    web_threads: int = pydantic.Field(32, ge=1, le=512)
    #: Where /metrics listens.
    metrics_host: str = "127.0.0.1"
    #: First port tried for /metrics; 0: 9101 for web, 9102 for a worker, 9103 for a clock.
    metrics_port: int = pydantic.Field(0, ge=0, le=65535)
    #: Seconds within which a post is answered, stored or not.
    accept_deadline: float = pydantic.Field(3.0, gt=0, le=60)
    #: Seconds that a request's body has to come in.
    body_deadline: float = pydantic.Field(30.0, gt=0, le=3600)
    #: Largest request body, bytes.
    max_body: int = pydantic.Field(256 * 1024, ge=1024)
    #: Largest body with many events (NDJSON, a CloudEvents batch), bytes; each event is at most ``MILLRACE_MAX_BODY``.
    max_bulk: int = pydantic.Field(8 * 1024 * 1024, ge=1024)
    #: Deepest nesting of a JSON document.
    max_depth: int = pydantic.Field(32, ge=1, le=500)
    #: Seconds after which a handler is told to stop (``SoftTimeLimitExceeded`` is raised in it).
    soft_limit: float = pydantic.Field(60.0, gt=0)
    #: Seconds after which the process of a handler is killed.
    hard_limit: float = pydantic.Field(90.0, gt=0)
    #: Seconds for which a detached handler holds its event; renewed at every sixth. A lost run is rescued after it.
    lease: float = pydantic.Field(120.0, ge=1.0, le=86_400)
    #: Seconds that a running detached handler has after a cancel, or after SIGTERM to its worker, before it is ended.
    grace: float = pydantic.Field(20.0, ge=0, le=86_400)
    #: Seconds that an infrastructure fault is waited out in place before the ticket goes back to the broker.
    fault_patience: float = pydantic.Field(30.0, ge=0)
    #: Seconds that a published ticket is given to be worked, before the clock looks for signs that it was lost.
    patience: float = pydantic.Field(300.0, gt=0)
    #: Seconds that the process which accepted an event has for publishing its ticket, before the clock does it.
    head_start: float = pydantic.Field(2.0, gt=0)
    #: How many published events of one type may wait at once (P6); the rest waits in the ledger.
    window: int = pydantic.Field(20_000, ge=1)
    #: Events per second that a replay of dead letters brings back, where the request names no rate.
    replay_rate: float = pydantic.Field(100.0, gt=0)
    #: Secrets that sign ``http.request``, separated by commas: ``name=whsec_…``, or ``name@host=whsec_…`` for one host.
    webhook_secrets: Annotated[tuple[webhooks.Secret, ...], pydantic_settings.NoDecode] = pydantic.Field((), repr=False)
    #: Networks that requests may reach although they are not the public internet, separated by commas: ``10.0.0.0/8``.
    request_networks: Annotated[tuple[Network, ...], pydantic_settings.NoDecode] = ()
    #: Bytes of the response to a request that are kept as the event's result; the rest is not read.
    request_keep: int = pydantic.Field(16 * 1024, ge=0, le=1024 * 1024)
    #: Seconds between heartbeats with RabbitMQ; a silent peer is given up after two.
    broker_heartbeat: int = pydantic.Field(10, ge=1)
    #: Seconds between synthetic events and ticks that clocks send through every queue, and look for; 0: none are sent.
    canary: float = pydantic.Field(0.0, ge=0, le=3600)
    #: The door that the canary is sent to, as ``http://host:port``; empty: ``MILLRACE_HTTP``.
    canary_url: str = ""
    #: debug, info, warning or error.
    log_level: str = pydantic.Field("info", pattern="^(debug|info|warning|error)$")
    #: ``json`` for machines, ``text`` for people.
    log_format: str = pydantic.Field("text", pattern="^(json|text)$")
    #: Where traces go: an OTLP receiver over HTTP, as ``http://host:4318``. Empty: none. Needs ``millrace[otel]``.
    otlp_url: str = pydantic.Field("", pattern="^(https?://[^/]+.*)?$")
    #: For tests of faults: ``<crash point>@<file>``. The process kills itself there, once, if it can remove the file.
    crash_at: str = ""

    @pydantic.field_validator("apps", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(p.strip() for p in value.split(",") if p.strip()) if isinstance(value, str) else value

    @pydantic.field_validator("webhook_secrets", mode="before")
    @classmethod
    def _are_secrets(cls, value: Any) -> Any:
        return _each(value, webhooks.read, shown=False)

    @pydantic.field_validator("request_networks", mode="before")
    @classmethod
    def _are_networks(cls, value: Any) -> Any:
        return _each(value, ipaddress.ip_network)

    @pydantic.field_validator("http")
    @classmethod
    def _is_address(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or not 0 <= int(port) <= 65535:
            raise ValueError("host:port is wanted, like 127.0.0.1:5000")
        return value

    @pydantic.field_validator("canary")
    @classmethod
    def _is_interval(cls, value: float) -> float:
        if 0 < value < 1:
            raise ValueError("0 or at least 1 second is wanted")
        return value

    @pydantic.field_validator("canary_url", "url")
    @classmethod
    def _is_door(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^/?#@]+(/[^?#]*)?", value):
            raise ValueError("http://host:port is wanted, like http://127.0.0.1:5000")
        return value

    @pydantic.field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: str) -> str:
        scheme, _, rest = value.partition("://")
        if value and scheme not in ("postgresql", "postgres", "postgresql+psycopg2"):
            raise ValueError(f"{DATABASE_FORM} is wanted; no other database is supported")
        # As SQLAlchemy reads it: the first @ ends the password.
        _check_place(re.split("[/?]", rest.partition("@")[2] if "@" in rest else rest)[0], DATABASE_FORM)
        return value

    @pydantic.field_validator("broker_url")
    @classmethod
    def _is_broker(cls, value: str) -> str:
        scheme, _, rest = value.partition("://")
        if value and scheme not in ("amqp", "amqps", "filesystem"):
            raise ValueError(f"{BROKER_FORM} is wanted, or filesystem:///folder for a demo")
        if scheme.startswith("amqp"):
            # As kombu reads it: the first of these characters ends it, and the last @ before that the password.
            _check_place(re.split("[/?#]", rest)[0].rpartition("@")[2], BROKER_FORM)
        return value

    @pydantic.model_validator(mode="after")
    def _limits_in_order(self) -> Settings:
        if self.hard_limit <= self.soft_limit:
            raise ValueError("MILLRACE_HARD_LIMIT must be larger than MILLRACE_SOFT_LIMIT")
        return self

    @property
    def host(self) -> str:
        """The host of ``http``."""
        return self.http.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port of ``http``."""
        return int(self.http.rpartition(":")[2])

    @property
    def demo_broker(self) -> bool:
        """Whether the broker is Celery's filesystem transport, which loses messages when a worker is killed."""
        return self.broker_url.startswith("filesystem:")

    def require(self, *names: str) -> Settings:
        """Itself, or a SettingsError for the first of these settings that is missing."""
        for name in names:
            if not getattr(self, name):
                raise errors.SettingsError(
                    f"{PREFIX}{name.upper()} is not set (`millrace up` starts everything without any setting)"
                )
        return self

    def require_servers(self) -> Settings:
        """Itself, or a SettingsError that names what is missing."""
        return self.require("database_url", "broker_url")


def load(**overrides: Any) -> Settings:
    """The settings of this process; raises SettingsError with one line per fault."""
    given = _from_files() | overrides
    try:
        return Settings(**given)
    except pydantic.ValidationError as error:
        raise errors.SettingsError("\n".join(_line(fault) for fault in error.errors())) from None


def environment(name: str, default: str = "") -> str:
    """A variable that is not a setting of Millrace, such as CI."""
    return os.environ.get(name, default)


def _each(value: Any, read: Callable[[str], Any], *, shown: bool = True) -> Any:
    """What is read from each part between commas or spaces; raises ValueError that tells which one is wrong."""
    found = []
    parts = [part for part in re.split(r"[,\s]+", value) if part] if isinstance(value, str) else value
    for number, part in enumerate(parts, 1):
        try:
            found.append(read(part) if isinstance(part, str) else part)
        except ValueError as error:
            raise ValueError(f"{'' if shown else f'entry {number}: '}{error}") from None
    return tuple(found)


def _from_files() -> dict[str, str]:
    found = {}
    for name in SECRETS:
        variable = f"{PREFIX}{name.upper()}_FILE"
        path = os.environ.get(variable)
        if path is None:
            continue
        if os.environ.get(variable.removesuffix("_FILE")):
            raise errors.SettingsError(f"{variable} and {variable.removesuffix('_FILE')} are both set: unset one")
        try:
            if not pathlib.Path(path).is_file():
                raise OSError("it is not a file")
            found[name] = pathlib.Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise errors.SettingsError(f"{variable}: {path} cannot be read: {error}") from None
    return found


def _check_place(place: str, form: str) -> None:
    """Raises ValueError unless this is a host, perhaps with a port."""
    try:
        good = "@" not in place and urllib.parse.urlsplit(f"//{place}").port != 0
    except ValueError:
        good = False
    if not good:
        # The value itself is not shown: what stands where the port should be may be half of a password.
        raise ValueError(f"{form} is wanted, with a port from 1 to 65535, and / @ : # in a password as %2F %40 %3A %23")


def _line(fault: Any) -> str:
    place = "_".join(str(part) for part in fault["loc"])
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{PREFIX}{place.upper()}: {message}" if place else message
