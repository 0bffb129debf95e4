"""The Python client of Millrace's API: ``Client``, ``AsyncClient``, and ``Spool`` for what must not be lost.

It imports the standard library and httpx, nothing of the service, so that a producer carries no more than it needs.
"""

from __future__ import annotations

from service.client.asynchronous import AsyncClient
from service.client.blocking import Client
from service.client.core import Answer, Request
from service.client.documents import Event, Item, NewEvent, encode
from service.client.errors import (
    ClientError,
    Conflict,
    Invalid,
    NotAllowed,
    NotEnded,
    NotFound,
    Problem,
    ServerFault,
    SpoolBroken,
    SpoolFull,
    Unavailable,
    Unreachable,
    Unsendable,
)
from service.client.spool import Spool

__all__ = [
    "Answer",
    "AsyncClient",
    "Client",
    "ClientError",
    "Conflict",
    "Event",
    "Invalid",
    "Item",
    "NewEvent",
    "NotAllowed",
    "NotEnded",
    "NotFound",
    "Problem",
    "Request",
    "ServerFault",
    "Spool",
    "SpoolBroken",
    "SpoolFull",
    "Unavailable",
    "Unreachable",
    "Unsendable",
    "encode",
]
