"""The settings: one frozen object, read once from the environment. No other file of the core reads it.

Each field is ``MILLRACE_<NAME>`` in the environment; a secret may stand in a file named by ``MILLRACE_<NAME>_FILE``.
"""

from __future__ import annotations

import os
import pathlib
import re
import urllib.parse
from typing import Any, Literal

import pydantic
import pydantic_settings

from service import __version__, values
from service.domain import errors, masks, topology

PREFIX = "MILLRACE_"
#: In an address, what names a file for TLS: as libpq has it, and RabbitMQ's own clients.
FILES_OF_TLS = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "cacertfile", "certfile", "keyfile")
#: Settings that may be given as the path of a file, so that a secret stands in no environment.
SECRETS = (
    "database_url",
    "broker_url",
    "webhook_secrets",
    "access_secret",
    "oidc_client_secret",
    "canary_key",
    "api_key",
)


class Settings(pydantic_settings.BaseSettings):
    """All settings with their defaults."""

    model_config = pydantic_settings.SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", str_strip_whitespace=True
    )

    #: PostgreSQL, as ``postgresql://user:password@host:port/database``. Empty: `millrace up` starts a private one.
    database_url: values.DatabaseUrl = ""
    #: RabbitMQ, as ``amqp://user:password@host:port/vhost``, or ``filesystem:///folder`` for demos.
    broker_url: values.BrokerUrl = ""
    #: Packages with handlers, schedules and views, separated by commas.
    apps: values.Texts = ()
    #: Where the web process listens, as ``host:port``.
    http: values.Address = "127.0.0.1:5000"
    #: ``on``: every request needs a key, a token or a session. ``off``: everybody is an admin; on loopback only.
    access: Literal["off", "on"] = "off"
    #: Hashes keys and sessions: 32 characters or more (``openssl rand -hex 32``). Of several, the first makes new ones.
    access_secret: values.Peppers = pydantic.Field((), repr=False)
    #: The address that browsers use, as ``https://host``: for cookies and company sign-in. Empty: as they ask.
    public_url: values.SafeUrl = ""
    #: Proxies whose ``X-Forwarded-For`` is believed, as networks separated by commas: ``10.0.0.0/8``.
    trusted_proxies: values.Networks = ()
    #: Requests per second of one key, token or session, for each web process; 0: no limit.
    rate_key: float = pydantic.Field(0.0, ge=0, le=1_000_000)
    #: Requests per second of one address without a good credential, for each web process.
    rate_address: float = pydantic.Field(10.0, gt=0, le=1_000_000)
    #: Seconds of rest after which a session of the console ends.
    session_idle: float = pydantic.Field(1800.0, ge=60, le=86_400)
    #: Seconds after which it ends in any case.
    session_limit: float = pydantic.Field(43_200.0, ge=60, le=7 * 86_400)
    #: Names of payload fields that are masked, separated by commas; ``*`` stands for anything.
    mask: values.Masks = masks.NAMES
    #: Whose tokens (JWT) are taken, and where the console's company sign-in goes: the issuer's URL. Empty: nobody's.
    oidc_issuer: values.SafeUrl = ""
    #: What an API token must be meant for (``aud``), separated by commas; one of them is enough.
    oidc_audience: values.Texts = ()
    #: Algorithms of signatures that are taken, separated by commas.
    oidc_algorithms: values.Algorithms = ("RS256", "ES256")
    #: The claim that holds the roles: a name, or a path with dots, like ``realm_access.roles``.
    oidc_role_claim: str = "roles"
    #: What of the claim is which role, separated by commas: ``ops-team=operator``. Empty: the roles' own names.
    oidc_roles: values.Roles = ()
    #: The console at the issuer. Empty: no company sign-in.
    oidc_client_id: str = ""
    #: Its secret there, if it has one.
    oidc_client_secret: str = pydantic.Field("", repr=False)
    #: Where the command line finds the API, as ``http://host:port``. Empty: it works on the database itself.
    url: values.Door = ""
    #: The key that the command line shows there.
    api_key: str = pydantic.Field("", repr=False)
    #: Processes of the web server. One or two per host bundle best.
    web_processes: int = pydantic.Field(1, ge=1, le=64)
    #: Threads of each web process: how many requests it works on at once.
    web_threads: int = pydantic.Field(32, ge=1, le=512)
    #: What is deployed, like a commit: shown with each process; where it changes, charts have a mark.
    revision: str = pydantic.Field("", pattern=r"^[A-Za-z0-9._-]{0,60}$")
    #: Where /metrics listens.
    metrics_host: str = "127.0.0.1"
    #: First port tried for /metrics; 0: 9101 for web, 9102 for a worker, 9103 for a clock. Where it is taken, the tenth
    #: after it is tried, and so on, ten in all.
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
    #: How long an event is kept after it has ended: seconds, or text like ``30d``, from ``2d`` on; or ``forever``.
    retention: values.Retention = 30 * 86_400.0
    #: Secrets that sign ``http.request``, separated by commas: ``name=whsec_…``, or ``name@host=whsec_…`` for one host.
    webhook_secrets: values.Secrets = pydantic.Field((), repr=False)
    #: Networks that requests may reach although they are not the public internet, separated by commas: ``10.0.0.0/8``.
    request_networks: values.Networks = ()
    #: Bytes of the response to a request that are kept as the event's result; the rest is not read.
    request_keep: int = pydantic.Field(16 * 1024, ge=0, le=1024 * 1024)
    #: Seconds between heartbeats with RabbitMQ; a silent peer is given up after two.
    broker_heartbeat: int = pydantic.Field(10, ge=1)
    #: Seconds between synthetic events and ticks that clocks send through every queue that a live worker takes, and
    #: look for; 0: none are sent.
    canary: values.Interval = pydantic.Field(0.0, ge=0, le=3600)
    #: The door that the canary is sent to, as ``http://host:port``; empty: ``MILLRACE_HTTP``.
    canary_url: values.Door = ""
    #: Queues that it is sent to though no live worker takes them, separated by commas: there it is lost, which pages.
    canary_queues: values.Texts = (topology.EVENTS_QUEUE,)
    #: The key that the canary shows where access is on: of an operator, for the types ``millrace.*``.
    canary_key: str = pydantic.Field("", repr=False)
    #: debug, info, warning or error.
    log_level: str = pydantic.Field("info", pattern="^(debug|info|warning|error)$")
    #: ``json`` for machines, what is printed included; ``text`` for people.
    log_format: str = pydantic.Field("text", pattern="^(json|text)$")
    #: Where traces go: an OTLP receiver over HTTP, as ``http://host:4318``. Empty: none. Needs ``millrace[otel]``.
    otlp_url: str = pydantic.Field("", pattern="^(https?://[^/]+.*)?$")
    #: Whether servers on other machines may be spoken to without TLS: where the network itself is safe.
    allow_plaintext: bool = False
    #: Whether web, workers and clocks may run as root although others reach them.
    allow_root: bool = False
    #: For tests of faults: ``<crash point>@<file>``. The process kills itself there, once, if it can remove the file;
    #: ``<crash point>:freeze@<file>``: it stands still.
    crash_at: str = ""

    @pydantic.model_validator(mode="after")
    def _limits_in_order(self) -> Settings:
        if self.hard_limit <= self.soft_limit:
            raise ValueError("MILLRACE_HARD_LIMIT must be larger than MILLRACE_SOFT_LIMIT")
        return self

    @pydantic.model_validator(mode="after")
    def _sign_in_is_whole(self) -> Settings:
        if self.oidc_client_id and not self.oidc_issuer:
            raise ValueError("MILLRACE_OIDC_CLIENT_ID needs MILLRACE_OIDC_ISSUER")
        if self.oidc_client_id and not self.public_url:
            raise ValueError("MILLRACE_OIDC_CLIENT_ID needs MILLRACE_PUBLIC_URL: where the issuer sends browsers back")
        if self.oidc_client_id and self.oidc_client_id in self.oidc_audience:
            raise ValueError(
                "MILLRACE_OIDC_AUDIENCE holds MILLRACE_OIDC_CLIENT_ID: then an ID token would open the API;"
                " name an audience of its own"
            )
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

    def require_access(self) -> Settings:
        """Itself, or a SettingsError: access may be off only where nobody else can come. For who opens a door."""
        if self.access == "on" and not self.access_secret:
            raise errors.SettingsError(
                "MILLRACE_ACCESS=on needs MILLRACE_ACCESS_SECRET (or _FILE): openssl rand -hex 32"
            )
        if self.access == "off" and not values.is_loopback(self.host):
            raise errors.SettingsError(
                f"MILLRACE_ACCESS: access is off, and MILLRACE_HTTP={self.http} is not loopback, so that anybody could"
                " do anything: set MILLRACE_ACCESS=on and MILLRACE_ACCESS_SECRET, or listen on 127.0.0.1"
                " (docs/access.md)"
            )
        return self

    @property
    def version(self) -> str:
        """Of Millrace, and what else is deployed."""
        return f"{__version__}+{self.revision}" if self.revision else __version__

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
            text = pathlib.Path(path).read_text().strip()
            found[name] = _with_files_beside(text, pathlib.Path(path).parent) if name.endswith("_url") else text
        except (OSError, UnicodeDecodeError) as error:
            raise errors.SettingsError(f"{variable}: {path} cannot be read: {error}") from None
    return found


def _with_files_beside(url: str, folder: pathlib.Path) -> str:
    """An address that came as a file, with the files that it names without a folder taken from beside it.

    So one address does wherever secrets are put: ``/run/secrets``, systemd's credentials, ``/etc/millrace/web``.
    """
    place = urllib.parse.quote(str(folder.absolute()))
    named = rf"([?&](?:{'|'.join(FILES_OF_TLS)})=)(?!system(?:&|$))([^/&%]+)(?=&|$)"
    return re.sub(named, lambda found: f"{found[1]}{place}/{found[2]}", url)


def _line(fault: Any) -> str:
    place = "_".join(str(part) for part in fault["loc"])
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{PREFIX}{place.upper()}: {message}" if place else message
