"""The API of dead letters and strays: list them, look into them, replay, discard."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Annotated, Any, ClassVar

import flask
import msgspec

from service.application import replay
from service.domain import errors, masks, outcome
from service.domain.access import Permission
from service.ledger import letters as ledger
from service.ledger import pages as lists
from service.web import access, answer, body, gate, links, operations, road, search, timing, unknown, veil
from service.web import errors as web
from service.web.processes import Nothing

pages = flask.Blueprint("letters", __name__, url_prefix="/v1")

LAST_START = 2999  #: the last year in which a replay may begin; the slowest one takes three
SECONDS = 20.0  #: after which a replay by filter answers with what it has done

Cursor = Annotated[str, msgspec.Meta(pattern=f"^{lists.CURSOR}$")]
PageSize = Annotated[int, msgspec.Meta(ge=1, le=500)]
Rate = Annotated[float, msgspec.Meta(ge=0.001, le=10_000)]


class Which(msgspec.Struct, frozen=True):
    """Dead letters to which all of this applies."""

    type: search.TypeName | None = None
    reason: outcome.Reason | None = None
    since: search.Moment | None = None  #: died at this instant or later
    until: search.Moment | None = None  #: died before this instant

    def filters(self, replayed: bool | None = False, discarded: bool | None = False) -> ledger.Filters:
        """In the ledger's words; those that nobody has replayed or discarded, unless others are wanted."""
        return ledger.Filters(self.type, self.reason, self.since, self.until, replayed, discarded)


class List(Which, frozen=True):
    """A page of them."""

    replayed: bool | None = None
    discarded: bool = False
    cursor: Cursor | None = None
    limit: PageSize = 50


class Meant(Which, frozen=True):
    """Which an act is meant for: those of a filter, or every one, which must be said."""

    because: search.Because | None = None
    all: bool = False

    def meant(self, counted_at: datetime.datetime | None = None) -> ledger.Filters:
        """In the ledger's words, and only what died before ``counted_at``.

        Raises InvalidParameter unless there is either a filter or ``all``.
        """
        narrowed = any(value is not None for value in (self.type, self.reason, self.since, self.until))
        if narrowed and self.all:
            raise web.InvalidParameter([("all", "it goes without type, reason, since and until: leave it away")])
        if not narrowed and not self.all:
            told = "name at least one of type, reason, since, until; all=true means every dead letter that is open"
            raise web.InvalidParameter([("type", told)])
        found = self.filters()
        if counted_at is None:
            return found
        return dataclasses.replace(found, until=min(counted_at, self.until or counted_at))


class Replay(Meant, frozen=True):
    """How to replay them."""

    dry_run: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1_000
    rate: Rate | None = None
    starts_at: search.Moment | None = None  #: none of them is due before it: the ``next_at`` of the turn before

    EXPECTED: ClassVar[dict[str, str]] = {"starts_at": timing.AN_INSTANT}


class Discard(Meant, frozen=True):
    """Which to discard."""

    dry_run: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 10_000


class Strays(msgspec.Struct, frozen=True):
    """A page of strays."""

    cursor: Cursor | None = None
    limit: PageSize = 50


@pages.get("/dead")
@access.needs(Permission.READ)
def list_dead() -> answer.Json:
    """Dead letters, those that died last first, page by page."""
    wanted = search.read(flask.request.args, List)
    filters = wanted.filters(wanted.replayed, wanted.discarded)
    with gate.reads():
        page = road.current().operations.letters.list(filters, limit=wanted.limit, cursor=wanted.cursor)
    return answer.Json({"dead": [links.added(row) for row in page.rows], "next_cursor": page.next_cursor})


@pages.get("/dead/groups")
@access.needs(Permission.READ)
def list_groups() -> answer.Json:
    """What is dead and was neither replayed nor discarded, by type, reason and error: the largest group first."""
    search.read(flask.request.args, Nothing)
    with gate.reads():
        found = road.current().operations.figures.letters()
    document = {
        "groups": [
            dataclasses.asdict(group) | {"links": {"example": links.place(group.example)}} for group in found.groups
        ],
        "open": found.open,
        "exact": found.exact,
        "grouped": found.grouped,
        "strays": found.strays,
    }
    return answer.Json(document)


@pages.post("/events/<event_id>/replay")
@access.needs(Permission.CONTROL)
def replay_event(event_id: str) -> answer.Json:
    """Work a dead letter again, as a new event; the body may hold another ``payload`` for it."""
    operations.asked(search.Why)
    here, edited = road.current(), _edited()
    if edited is not None and masks.MASK in edited.text and (before := here.queries.find(event_id)) is not None:
        veil.check_whole(edited.value, before["type"])
    type_name, new_id = here.operations.replayer.one(
        event_id, edited=edited, by=operations.by(), request_id=flask.g.request_id
    )
    place = links.place(new_id)
    document: dict[str, Any] = {"id": new_id, "type": type_name, "state": "pending", "replay_of": event_id}
    document["links"] = {"self": place, "replay_of": links.place(event_id)}
    return answer.Json(document, status=202, headers={"Location": place})


@pages.post("/replay")
@access.needs(Permission.CONTROL)
def replay_events() -> answer.Json:
    """Replay the dead letters that the query finds, or ``all``, the oldest first; ``dry_run`` only looks at them."""
    wanted = operations.asked(Replay)
    if wanted.starts_at is not None and wanted.starts_at.year > LAST_START:
        raise web.InvalidParameter([("starts_at", f"an instant before the end of the year {LAST_START} is wanted")])
    here = road.current().operations
    counted_at = here.agenda.now() if wanted.dry_run else None
    found = here.replayer.some(
        wanted.meant(counted_at),
        limit=wanted.limit,
        rate=wanted.rate,
        dry_run=wanted.dry_run,
        by=operations.by(),
        request_id=flask.g.request_id,
        seconds=SECONDS,
        starts_at=wanted.starts_at,
    )
    document = dataclasses.asdict(found) | ({"counted_at": counted_at} if wanted.dry_run else {})
    return answer.Json(document, status=200 if found.dry_run or not found.replayed else 202)


@pages.post("/events/<event_id>/discard")
@access.needs(Permission.CONTROL)
def discard_event(event_id: str) -> answer.Json:
    """Have nothing more come of a dead letter: it leaves the list. The event stays ``dead``, and can be read."""
    operations.asked(search.Why)
    road.current().operations.control.discard_letter(event_id, by=operations.by())
    return answer.Json({"id": event_id, "state": "dead", "discarded": True, "links": {"self": links.place(event_id)}})


@pages.post("/discard")
@access.needs(Permission.CONTROL)
def discard_events() -> answer.Json:
    """Discard the dead letters that the query finds, or ``all``, the oldest first; ``dry_run`` only counts them."""
    wanted = operations.asked(Discard)
    here = road.current().operations
    if wanted.dry_run:
        counted_at = here.agenda.now()
        types = here.letters.count(wanted.meant(counted_at))
        count = sum(types.values())
        return answer.Json({"dry_run": True, "count": count, "types": types, "counted_at": counted_at})
    filters = wanted.meant()
    types = here.control.discard_letters(filters, limit=wanted.limit, by=operations.by())
    left = sum(here.letters.count(filters).values())
    return answer.Json({"dry_run": False, "discarded": sum(types.values()), "types": types, "left": left})


@pages.get("/strays")
@access.needs(Permission.READ)
def list_strays() -> answer.Json:
    """Messages that were not ours, the newest first, page by page."""
    wanted = search.read(flask.request.args, Strays)
    with gate.reads():
        page = road.current().operations.strays.list(limit=wanted.limit, cursor=wanted.cursor)
    found = [row | {"links": {"self": _stray_place(row["id"])}} for row in page.rows]
    return answer.Json({"strays": found, "next_cursor": page.next_cursor})


@pages.get("/strays/<stray_id>")
@access.needs(Permission.READ)
def show_stray(stray_id: str) -> answer.Json:
    """One stray with its properties; with ``reveal`` what its sender wrote, headers and body (base64), too."""
    with gate.reads():
        found = road.current().operations.strays.show(stray_id)
    masked: list[str] = []
    if not veil.asked(flask.request.args, found["id"]):
        found, masked = unknown.masked(found)
    return answer.Json(found | {"masked": masked, "links": {"self": _stray_place(found["id"])}})


@pages.delete("/strays/<stray_id>")
@access.needs(Permission.CONTROL)
def discard_stray(stray_id: str) -> flask.Response:
    """Delete a stray."""
    operations.asked(search.Why)
    road.current().operations.control.discard(stray_id, by=operations.by())
    return answer.nothing()


def _edited() -> replay.Payload | None:
    """The payload in the body, if there is a body; raises NotStrictJson and InvalidEvent."""
    if not flask.request.get_data():
        return None
    document = body.read(flask.request, road.current().settings.max_depth).value
    if not isinstance(document, dict) or document.keys() != {"payload"}:
        raise errors.InvalidEvent([errors.Fault("", 'an object with the one member "payload" is wanted, or no body')])
    payload = document["payload"]
    return replay.Payload(payload, body.encoder.encode(payload).decode())


def _stray_place(stray_id: str) -> str:
    return f"{flask.request.environ.get('SCRIPT_NAME', '')}/v1/strays/{stray_id}"
