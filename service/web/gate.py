"""Shedding: when the ledger is slow, requests are refused at once, before the last thread waits for it.

A gate lets as many requests in as there are threads, as long as they come out again soon. Only when the first of those
inside has waited for ``PATIENCE`` does it count them: then half of the threads may wait for the intake, and an eighth
for what they read; a quarter may wait for outcomes (``service.web.prefer``). So there is always one that answers.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable

import flask

from service.application import accept
from service.domain import errors

NAME = "millrace.gates"  #: among the application's extensions
PATIENCE = 0.5  #: seconds after which a request inside is a sign that all is slow


class Gate:
    """Counts who waits inside for one thing."""

    def __init__(self, room: int, refuse: Callable[[int], errors.MillraceError], patience: float = PATIENCE) -> None:
        self._room = room
        self._refuse = refuse  #: makes the error, from the seconds that the first one inside has waited
        self._patience = patience
        self._lock = threading.Lock()
        self._deeper: Counter[int] = Counter()  # Of each of them: how often it entered again.
        self._inside: dict[int, float] = {}  # Thread → when it entered; the first of them stands first.

    def __enter__(self) -> None:
        now, me = time.monotonic(), threading.get_ident()
        with self._lock:
            if me in self._inside:
                self._deeper[me] += 1  # Who is inside may go further in.
                return
            if len(self._inside) >= self._room:
                waited = now - next(iter(self._inside.values()))
                if waited > self._patience:
                    raise self._refuse(math.ceil(waited))
            self._inside[me] = now

    def __exit__(self, *_: object) -> None:
        me = threading.get_ident()
        with self._lock:
            if self._deeper[me]:
                self._deeper[me] -= 1
            else:
                del self._inside[me], self._deeper[me]


class Gates:
    """The gates of an application."""

    def __init__(self, threads: int) -> None:
        self.posts = Gate(
            max(1, threads // 2),
            lambda seconds: accept.NotStored("too many requests are waiting to be stored", retry_after=seconds),
        )
        self.reads = Gate(max(1, threads // 8), lambda seconds: errors.Overloaded(retry_after=seconds))
        self.issuer = Gate(max(1, threads // 8), lambda seconds: errors.Overloaded(retry_after=seconds), patience=0.0)


def posts() -> Gate:
    """To be entered around every wait for the intake."""
    return _gates().posts


def reads() -> Gate:
    """To be entered around every question to the ledger."""
    return _gates().reads


def issuer() -> Gate:
    """To be entered around every question to the issuer that a stranger can have asked."""
    return _gates().issuer


def _gates() -> Gates:
    found: Gates = flask.current_app.extensions[NAME]
    return found
