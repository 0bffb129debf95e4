"""A road in memory: all that the HTTP door needs, without a ledger, a broker or a process."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from typing import Any, cast

from flask.testing import FlaskClient

from service import web
from service.application import outlook
from service.application.submission import Accepted
from service.domain import errors, event, handlers, ids, states
from service.ledger import queries
from service.settings import Settings


class Intake:
    """Keeps what it is given. With a ``fault`` it raises that instead."""

    def __init__(self) -> None:
        self.stored: list[event.NewEvent] = []
        self.fault: Exception | None = None

    def submit(self, events: Sequence[event.NewEvent]) -> list[Accepted]:
        if self.fault is not None:
            raise self.fault
        self.stored += events
        return [Accepted(ids.uuid7(time.time()), new.type) for new in events]

    def expect(self, one: Accepted, accepted_at: datetime.datetime) -> outlook.Outlook:
        return states.Waiting.QUEUED, None

    def submit_each(self, events: Sequence[event.NewEvent], within: float) -> list[Accepted | errors.MillraceError]:
        return [one for new in events for one in self.submit([new])]


class Queries:
    """An empty ledger. With a ``fault`` it raises that instead."""

    def __init__(self) -> None:
        self.fault: Exception | None = None

    def allow(self, seconds: float | None) -> None:
        """Nothing takes long here."""

    def find(self, event_id: str) -> None:
        self.check()

    def page(self, filters: queries.Filters, *, limit: int) -> queries.Page:
        self.check()
        return queries.Page([], None, None, None)

    def pauses(self) -> list[dict[str, Any]]:
        self.check()
        return []

    def check(self) -> None:
        if self.fault is not None:
            raise self.fault


class Watch:
    """Waits for nothing."""

    def wait(self, event_id: str, seconds: float) -> bool | None:
        return False


class Publisher:
    """A publisher that has not met its broker yet."""

    up: bool | None = None


class Road:
    """A road for ``create_app``."""

    def __init__(self, *handled: handlers.Handler, **settings: Any) -> None:
        # Not from the environment, which is nobody's business here.
        self.settings = Settings.model_construct(**settings)
        self.registry = handlers.Registry()
        for handler in handled:
            self.registry.add(handler)
        self.intake = Intake()
        self.publisher = Publisher()
        self.watch = Watch()
        self.emptiness = Queries()

    @property
    def queries(self) -> queries.Queries:
        """The empty ledger in the place of a real one."""
        return cast(queries.Queries, self.emptiness)

    def client(self) -> FlaskClient:
        """A client at the door of this road."""
        return web.create_app(self).test_client()
