"""An event of `http.request`, and its handler called as a worker does."""

from __future__ import annotations

import datetime
import ipaddress
from typing import Any

from service.domain import webhooks
from service.domain.event import Event
from workers.face import parser
from workers.http import handlers
from workers.http.request import Request

LOOPBACK = (ipaddress.ip_network("127.0.0.1/32"),)
KEY = bytes(range(32))
SECRET = webhooks.Secret("billing", None, KEY)
EVENT = Event(
    "01a1fac5-2b4a-76a7-8ab1-b1998b705c1b",
    "http.request",
    None,
    1,
    datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)


RUN = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"  #: the context of the run, below that of the event


class Ctx:
    event = EVENT
    traceparent = RUN


def ask(**payload: Any) -> Any:
    wanted = parser(Request)(payload)
    return handlers.request(wanted, Ctx())  # type: ignore[arg-type]
