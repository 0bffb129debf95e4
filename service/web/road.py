"""What the door needs of the road; ``bootstrap.web`` lays it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar, cast

import flask

from service.application import outlook
from service.application.submission import Accepted, Submission, Told
from service.bootstrap import Operations
from service.domain import errors, event, handlers
from service.ledger.queries import Queries
from service.settings import Settings

Thing = TypeVar("Thing")

NAME = "millrace"  #: of the road among the application's extensions


class Intake(Protocol):
    """The group commit of this process."""

    def begin(self, new: event.NewEvent, told: Told, waiter: Any) -> Submission: ...
    def expect(self, one: Accepted, accepted_at: datetime.datetime) -> outlook.Outlook: ...
    def give_up(self, submission: Submission) -> None: ...
    def submit(self, events: Sequence[event.NewEvent], within: float | None = None) -> list[Accepted]: ...
    def submit_each(self, events: Sequence[event.NewEvent], within: float) -> list[Accepted | errors.MillraceError]: ...


class Publisher(Protocol):
    """The publisher thread of this process."""

    @property
    def up(self) -> bool | None: ...


class Watch(Protocol):
    """Who waits in this process for outcomes."""

    def wait(self, event_id: str, seconds: float) -> bool | None: ...


class Road(Protocol):
    """The objects of a web process."""

    @property
    def settings(self) -> Settings: ...
    @property
    def registry(self) -> handlers.Registry: ...
    @property
    def intake(self) -> Intake: ...
    @property
    def queries(self) -> Queries: ...
    @property
    def publisher(self) -> Publisher: ...
    @property
    def watch(self) -> Watch: ...
    @property
    def operations(self) -> Operations: ...


def current() -> Road:
    """The road of the application that serves this request."""
    return cast(Road, flask.current_app.extensions[NAME])


def real(proxy: Thing) -> Thing:
    """What ``flask.g`` or ``flask.request`` stands for. Each look through such a proxy costs most of a microsecond."""
    return cast(Thing, cast(Any, proxy)._get_current_object())
