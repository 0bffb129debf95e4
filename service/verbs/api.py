"""The way to the API, the same for every verb: over HTTP where an address is given, else to a door in this process."""

from __future__ import annotations

import functools
import logging
import socket
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx

from service import bootstrap, settings
from service import client as clients
from service.domain import errors
from service.telemetry import logging as logs

HERE = "http://localhost"  #: the address of the door in this process, which nobody sees
DEADLINE = 10.0  #: seconds after which nothing is tried again; somebody sits there and waits
LONG = 60.0  #: seconds that an act may take beyond that; a replay by filter takes 20
STANDARD = frozenset({"type", "title", "status", "detail", "errors", "instance"})  #: members of every problem


class Refused(errors.MillraceError):
    """The API has said no."""

    def __init__(self, problem: clients.Problem) -> None:
        super().__init__(problem.detail or str(problem))
        named = [(e.get("pointer") or e.get("parameter") or "/", e.get("detail", "")) for e in problem.errors]
        #: What is wrong, part by part, unless the message tells it already.
        self.faults = [errors.Fault(place, detail) for place, detail in named if detail not in str(self)]
        self.members = {name: value for name, value in problem.document.items() if name not in STANDARD}


class Away(errors.MillraceError):
    """The API cannot be used at all, for nothing."""


class Api:
    """The API. It connects at the first call, so that a verb may look at its words before."""

    def __init__(self, url: str | None, by: str) -> None:
        self._url = url
        self._by = by.encode("ascii", "replace").decode()  # It is a header.
        self.because: str | None = None  #: why the verb does what it does

    @functools.cached_property
    def settings(self) -> settings.Settings:
        """The settings of this process, with the address that was given."""
        return settings.load(**({"url": self._url} if self._url else {}))

    @functools.cached_property
    def client(self) -> clients.Client:
        """The client; raises SettingsError, LedgerUnavailable, SchemaNotReady."""
        if not (self.settings.url or self.settings.database_url):
            raise errors.SettingsError(
                "which Millrace? --url (or MILLRACE_URL) names one that runs, such as http://127.0.0.1:5000;"
                " on its host, MILLRACE_DATABASE_URL names its ledger"
            )
        if self.settings.url:
            url, key = self.settings.url, self.settings.api_key
            return clients.Client(url, key=key, producer=self._by, deadline=DEADLINE)
        bootstrap.prepare("operator", self.settings)
        logs.set_level(logging.WARNING)  # What is done is said on the terminal.
        road = bootstrap.door_here(self.settings)
        from service import web  # The door is slow to import.

        transport = httpx.WSGITransport(web.create_app(road), remote_addr=f"host {socket.gethostname()}")
        return clients.Client(HERE, producer=self._by, deadline=DEADLINE, transport=transport)

    def close(self) -> None:
        """Close what was opened."""
        if "client" in self.__dict__:
            self.client.close()

    def get(self, path: str, **query: Any) -> Any:
        """The document at a path; a query's Nones are left out."""
        return self._ask(clients.Request("GET", path, _query(query)))

    def post(
        self, path: str, document: Any = None, *, headers: Mapping[str, str] | None = None, repeatable: bool = True,
        method: str = "POST", query: Mapping[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        """What comes of a POST, or of another method. ``repeatable``: done twice, it has the effect of once."""
        kind = {} if document is None else {"Content-Type": "application/json"}
        body = None if document is None else clients.encode(document)
        told = {**kind, **(headers or {})}
        asked = _query({"because": self.because, **(query or {})})
        return self._ask(clients.Request(method, path, asked, body, told, repeatable=repeatable, waits=LONG))

    def call(self, name: str, *args: Any, **options: Any) -> Any:
        """A method of the client, by its name."""
        try:
            return getattr(self.client, name)(*args, **options)
        except clients.ClientError as error:
            raise self.told(error) from error

    def told(self, error: clients.ClientError) -> errors.MillraceError:
        """An error of the client as the command line tells it."""
        if isinstance(error, clients.Unavailable | clients.Unreachable | clients.NotAllowed | clients.ServerFault):
            place = f"{self.settings.url}: " if self.settings.url else ""
            cure = ""
            if isinstance(error, clients.NotAllowed):
                cure = " (MILLRACE_API_KEY, or MILLRACE_API_KEY_FILE, holds the key)"
            elif isinstance(error, clients.Unreachable):
                cure = " (is Millrace there, and MILLRACE_URL or --url right?)"
            return Away(f"{place}{error}{cure}")
        return Refused(error) if isinstance(error, clients.Problem) else errors.MillraceError(str(error))

    def _ask(self, request: clients.Request) -> Any:
        return self.call("request", request).document


def path(*parts: str) -> str:
    """A path below /v1."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def pages(total: int, size: int) -> Iterator[int]:
    """Sizes of steps that make ``total``."""
    while total > 0:
        yield min(size, total)
        total -= size


def _query(query: Mapping[str, Any]) -> dict[str, Any]:
    return {n: v.isoformat() if hasattr(v, "isoformat") else v for n, v in query.items() if v is not None}
