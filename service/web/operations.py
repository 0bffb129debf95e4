"""The API of operators: cancel, pause, resume."""

from __future__ import annotations

import dataclasses
import typing
from typing import Annotated, Any, TypeVar

import flask
import msgspec

from service.domain import chain, states
from service.domain.access import Permission
from service.ledger import queries
from service.web import access, answer, errors, gate, links, road, search

pages = flask.Blueprint("operations", __name__, url_prefix="/v1")


Act = TypeVar("Act", bound=msgspec.Struct)


class Cancel(search.Why, frozen=True):
    """Which open events to cancel: those to which all of this applies."""

    type: search.TypeName | None = None
    state: typing.Literal["pending", "running"] | None = None
    producer: search.Producer | None = None
    since: search.Moment | None = None
    until: search.Moment | None = None
    dry_run: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 10_000

    def filters(self) -> queries.Filters:
        """In the ledger's words."""
        return queries.Filters(
            type=self.type,
            state=None if self.state is None else states.State(self.state),
            producer=self.producer,
            since=self.since,
            until=self.until,
        )


def by() -> str | None:
    """Who acts: the principal's name; while access is off, as they say themselves (``X-Producer``)."""
    if (principal := access.of(flask.request.environ)) is not None:
        return principal.name
    found: str | None = flask.g.producer
    return found


def asked(wanted: type[Act]) -> Act:
    """The query of an act, which has ``because``: its audit entry will say why. Raises InvalidParameter."""
    found = search.read(flask.request.args, wanted)
    because: str | None = getattr(found, "because")  # noqa: B009 -- no struct can have two bases.
    chain.explain(because)
    return found


@pages.post("/events/<event_id>/cancel")
@access.needs(Permission.CONTROL)
def cancel_event(event_id: str) -> answer.Json:
    """Withdraw an event: 200 when it is cancelled, 202 when its worker was asked to stop."""
    asked(search.Why)
    state = road.current().operations.control.cancel(event_id, by=by())
    document = {"id": event_id, "state": state, "links": {"self": links.place(event_id)}}
    return answer.Json(document, status=200 if state is states.State.CANCELLED else 202)


@pages.post("/cancel")
@access.needs(Permission.CONTROL)
def cancel_events() -> answer.Json:
    """Withdraw the open events that the query finds; with ``dry_run`` only count them."""
    wanted = asked(Cancel)
    filters = wanted.filters()
    if not filters.values():
        raise errors.InvalidParameter([("type", "name at least one of type, state, producer, since, until")])
    control = road.current().operations.control
    if wanted.dry_run:
        types = control.count(filters)
        return answer.Json({"dry_run": True, "count": sum(types.values()), "types": types})
    found = control.cancel_all(filters, limit=wanted.limit, by=by())
    return answer.Json({"dry_run": False, **dataclasses.asdict(found)})


@pages.post("/types/<name>/pause")
@access.needs(Permission.CONTROL)
def pause_type(name: str) -> answer.Json:
    """Hold back the events of a type."""
    asked(search.Why)
    return _paused("type", name, road.current().operations.control.pause_type(name, by=by()))


@pages.post("/types/<name>/resume")
@access.needs(Permission.CONTROL)
def resume_type(name: str) -> answer.Json:
    """Let the events of a type go again."""
    asked(search.Why)
    return _resumed("type", name, road.current().operations.control.resume_type(name, by=by()))


@pages.post("/queues/<name>/pause")
@access.needs(Permission.CONTROL)
def pause_queue(name: str) -> answer.Json:
    """Hold back what belongs into a queue."""
    asked(search.Why)
    return _paused("queue", name, road.current().operations.control.pause_queue(name, by=by()))


@pages.post("/queues/<name>/resume")
@access.needs(Permission.CONTROL)
def resume_queue(name: str) -> answer.Json:
    """Let what belongs into a queue go again."""
    asked(search.Why)
    return _resumed("queue", name, road.current().operations.control.resume_queue(name, by=by()))


@pages.get("/pauses")
@access.needs(Permission.READ)
def list_pauses() -> answer.Json:
    """What is paused, types and queues, since when, by whom and why."""
    with gate.reads():
        return answer.Json({"pauses": road.current().queries.pauses()})


def _paused(kind: str, name: str, pause: dict[str, Any]) -> answer.Json:
    return answer.Json({"kind": kind, "name": name, "paused": True, **pause})


def _resumed(kind: str, name: str, was_paused: bool) -> answer.Json:
    return answer.Json({"kind": kind, "name": name, "paused": False, "was_paused": was_paused})
