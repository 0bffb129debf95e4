"""The client's words in those of httpx: requests, answers, faults."""

from __future__ import annotations

import datetime
from typing import Any, TypedDict, TypeVar

import httpx

from service.client import core, errors
from service.client.documents import Json

Http = TypeVar("Http", httpx.Client, httpx.AsyncClient)

AGENT = "millrace-client"
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)  #: faults before anything was sent


class More(TypedDict, total=False):
    """What may be said of an event beside type and payload, as in ``NewEvent``."""

    key: str | None
    run_at: datetime.datetime | None
    delay: float | None
    expires_at: datetime.datetime | None
    traceparent: str | None


def opened(kind: type[Http], url: str, key: str | None, producer: str | None, transport: Any) -> Http:
    """The client of httpx, of either kind, with what goes with every request; raises Unsendable."""
    headers = {"User-Agent": AGENT, "Accept": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    if producer:
        headers["X-Producer"] = producer
    try:
        return kind(base_url=url, headers=headers, transport=transport)
    except (httpx.InvalidURL, UnicodeEncodeError) as error:
        raise errors.Unsendable(str(error)) from error


def edited(given: dict[str, Json]) -> dict[str, Json] | None:
    """The body of a replay; raises TypeError for anything but ``payload``."""
    if given.keys() - {"payload"}:
        raise TypeError(f"replay() takes payload=, not {', '.join(sorted(given))}")
    return given or None


def request(http: httpx.Client | httpx.AsyncClient, step: core.Send) -> httpx.Request:
    """The request to be sent; raises Unsendable."""
    asked, limits = step.request, {"timeout": httpx.Timeout(step.seconds).as_dict()}
    extensions: dict[str, Any] = limits
    try:
        return http.build_request(
            asked.method, asked.target, content=asked.body, headers=dict(asked.headers), extensions=extensions
        )
    except (httpx.InvalidURL, UnicodeEncodeError) as error:
        raise errors.Unsendable(str(error)) from error


def answer(response: httpx.Response) -> core.Answer:
    """What came back."""
    found = {name.lower(): value for name, value in response.headers.items()}
    return core.Answer(response.status_code, found, response.content)


def fault(error: httpx.RequestError) -> core.Fault:
    """Why nothing came back, or nothing that can be read; raises Unsendable."""
    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        raise errors.Unsendable(str(error)) from error  # That is no fault that passes.
    return core.Fault(f"{type(error).__name__}: {error}".rstrip(": "), sent=not isinstance(error, UNSENT))
