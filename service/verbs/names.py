"""What a shell is told when somebody presses TAB on a name: types, queues, schedules, as the API knows them.

Only where MILLRACE_URL says where that is: to ask a database takes too long, and a half-typed ``--url`` is nowhere to
send a key. Within a second there is an answer, if need be none; nothing is ever printed but that.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import click

from service import client as clients
from service import settings
from service.verbs.api import path

PATIENCE = 0.8  #: seconds until whoever presses TAB has an answer
MOST = 200  #: schedules that are asked for

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def of(place: str) -> Complete:
    """What completes a parameter with the names in the list of the API at this place: types, queues, schedules."""
    return functools.partial(_complete, place)


def _complete(place: str, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    found: list[str] = []
    # In a thread, since no timeout of a connection covers the time to look up its host.
    thread = threading.Thread(target=_ask, args=(place, found), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    given = ctx.params.get(param.name or "")
    taken = given if isinstance(given, tuple) else ()
    return [name for name in tuple(found) if name.startswith(incomplete) and name not in taken]


def _ask(place: str, found: list[str]) -> None:
    try:
        here = settings.load()
        if not here.url:
            return
        query: dict[str, Any] = {"limit": MOST} if place == "schedules" else {}
        with clients.Client(here.url, key=here.api_key, timeout=PATIENCE, deadline=PATIENCE) as client:
            document = client.request(clients.Request("GET", path(place), query)).document
        found += [row["name"] for row in document[place]]
    except Exception:  # There is nobody to be told: a fault would be printed into the line that is typed.
        return
