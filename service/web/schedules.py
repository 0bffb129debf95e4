"""The API of schedules: make them, change them, see what became of their slots."""

from __future__ import annotations

import dataclasses
import re
import typing
from typing import Annotated, Any, ClassVar

import flask
import msgspec

from service.application import schedules as application
from service.domain import errors as domain_errors
from service.domain import slots
from service.domain.access import Permission
from service.ledger import agenda
from service.plans import preview as previews
from service.web import access, answer, body, errors, gate, links, operations, road, search, veil

pages = flask.Blueprint("schedules", __name__, url_prefix="/v1/schedules")

STATES = ("active", "paused", "finished", "retired")
#: One of a list (RFC 9110, section 13.1.1). A weak one matches nothing, for nobody knows that it is the same.
ETAG = re.compile(r'(?P<weak>W/)?"(?P<tag>[\x21\x23-\x7e\x80-\xff]*)"')
LONGEST_LIST = 100  #: ETags

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_.-]{0,99}$")]
PageSize = Annotated[int, msgspec.Meta(ge=1, le=500)]


class List(msgspec.Struct, frozen=True):
    """A page of schedules."""

    type: search.TypeName | None = None
    state: typing.Literal["active", "paused", "finished", "retired"] | None = None
    origin: typing.Literal["code", "api"] | None = None
    cursor: Name | None = None
    limit: PageSize = 50

    EXPECTED: ClassVar[dict[str, str]] = {
        "state": f"one of {', '.join(STATES)} is wanted",
        "origin": "code or api is wanted",
    }


class History(msgspec.Struct, frozen=True):
    """A page of slots."""

    outcome: slots.Outcome | None = None
    cursor: Annotated[str, msgspec.Meta(pattern=f"^{agenda.CURSOR}$")] | None = None
    limit: PageSize = 50

    EXPECTED: ClassVar[dict[str, str]] = {"outcome": f"one of {', '.join(slots.Outcome)} is wanted"}


class Backfill(msgspec.Struct, frozen=True):
    """Which instants to make events of."""

    since: search.Moment
    until: search.Moment
    because: search.Because | None = None
    dry_run: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=application.MOST_BACKFILLED)] = 1_000

    EXPECTED: ClassVar[dict[str, str]] = {
        "limit": f"a number of instants is wanted, from 1 to {application.MOST_BACKFILLED}"
    }


class Preview(msgspec.Struct, frozen=True):
    """Which instants to look ahead to."""

    next: Annotated[int, msgspec.Meta(ge=1, le=previews.MOST)] = 10
    after: search.Moment | None = None
    tz: Annotated[str, msgspec.Meta(max_length=100)] | None = None

    EXPECTED: ClassVar[dict[str, str]] = {
        "next": f"a number of instants is wanted, from 1 to {previews.MOST}",
        "after": search.EXPECTED["since"],
        "tz": "an IANA time zone is wanted, like Europe/Berlin",
    }


class Year(msgspec.Struct, frozen=True):
    """Which year to look at."""

    year: Annotated[int, msgspec.Meta(ge=previews.YEARS[0], le=previews.YEARS[-1])]

    EXPECTED: ClassVar[dict[str, str]] = {"year": f"a year is wanted, {previews.YEARS[0]} to {previews.YEARS[-1]}"}


@pages.post("")
@access.needs(Permission.SCHEDULE)
def create_schedule() -> answer.Json:
    """Make a schedule of the document in the body."""
    operations.asked(search.Why)
    name = road.current().operations.schedules.create(_document(), by=operations.by())
    return _shown(name, status=201)


@pages.get("")
@access.needs(Permission.READ)
def list_schedules() -> answer.Json:
    """Schedules by name, page by page."""
    wanted = search.read(flask.request.args, List)
    filters = agenda.Filters(wanted.type, wanted.origin, wanted.state, wanted.cursor)
    with gate.reads():
        page = road.current().operations.agenda.list(filters, limit=wanted.limit)
    found = [application.shown(row) | {"links": _links(row["name"])} for row in page.rows]
    return answer.Json({"schedules": found, "next_cursor": page.next_cursor})


@pages.get("/<name>")
@access.needs(Permission.READ)
def show_schedule(name: str) -> answer.Json:
    """One schedule with all that is known of it; its ETag is for who wants to change it."""
    return _shown(name)


@pages.patch("/<name>")
@access.needs(Permission.SCHEDULE)
def edit_schedule(name: str) -> answer.Json:
    """Change the members in the body (RFC 7396); ``If-Match`` names the version that they were made for."""
    operations.asked(search.Why)
    revision = _revision(name, required=True)
    written = road.current().operations.schedules.edit(name, _document(), revision=revision, by=operations.by())
    return _shown(name, revision=written)


@pages.delete("/<name>")
@access.needs(Permission.SCHEDULE)
def delete_schedule(name: str) -> flask.Response:
    """Delete a schedule; its slots and events stay."""
    operations.asked(search.Why)
    road.current().operations.schedules.delete(name, revision=_revision(name, required=False), by=operations.by())
    return answer.nothing()


@pages.post("/<name>/pause")
@access.needs(Permission.SCHEDULE)
def pause_schedule(name: str) -> answer.Json:
    """Have no instant of it fired."""
    operations.asked(search.Why)
    road.current().operations.schedules.pause(name, by=operations.by())
    return _shown(name)


@pages.post("/<name>/resume")
@access.needs(Permission.SCHEDULE)
def resume_schedule(name: str) -> answer.Json:
    """Have it go on with its next instant."""
    operations.asked(search.Why)
    road.current().operations.schedules.resume(name, by=operations.by())
    return _shown(name)


@pages.post("/<name>/run")
@access.needs(Permission.SCHEDULE)
def run_schedule(name: str) -> answer.Json:
    """An event of it at once."""
    operations.asked(search.Why)
    event_id = road.current().operations.schedules.run_now(name, by=operations.by())
    place = links.place(event_id)
    document = {"id": event_id, "schedule": name, "state": "pending", "links": {"self": place}}
    return answer.Json(document, status=202, headers={"Location": place})


@pages.post("/<name>/backfill")
@access.needs(Permission.SCHEDULE)
def backfill_schedule(name: str) -> answer.Json:
    """Events of past instants that became none; with ``dry_run`` only count them."""
    args = flask.request.args
    if missing := [n for n in ("since", "until") if n not in args]:
        raise errors.InvalidParameter([(n, search.EXPECTED[n]) for n in missing])
    wanted = operations.asked(Backfill)
    found = road.current().operations.schedules.backfill(
        name, wanted.since, wanted.until, limit=wanted.limit, dry_run=wanted.dry_run, by=operations.by()
    )
    return answer.Json(dataclasses.asdict(found), status=200 if found.dry_run or not found.backfilled else 202)


@pages.get("/<name>/slots")
@access.needs(Permission.READ)
def list_slots(name: str) -> answer.Json:
    """What became of its instants, newest first, page by page."""
    wanted = search.read(flask.request.args, History)
    here = road.current().operations.agenda
    with gate.reads():
        page = here.history(name, limit=wanted.limit, cursor=wanted.cursor, outcome=wanted.outcome)
    found = [row | {"links": {"event": links.place(row["event_id"])} if row["event_id"] else {}} for row in page.rows]
    return answer.Json({"slots": found, "next_cursor": page.next_cursor})


@pages.get("/<name>/preview")
@access.needs(Permission.READ)
def preview_schedule(name: str) -> answer.Json:
    """Its next instants, in local time and UTC, with what daylight saving does to them."""
    wanted = search.read(flask.request.args, Preview)
    with gate.reads():
        found = road.current().operations.schedules.preview(name, count=wanted.next, after=wanted.after, tz=wanted.tz)
    return answer.Json(found)


@pages.post("/preview")
@access.needs(Permission.READ)
def preview_plan() -> answer.Json:
    """The next instants of a plan that is no schedule yet; the plan is the body."""
    wanted = search.read(flask.request.args, Preview)
    document = _document()
    with gate.reads():
        found = road.current().operations.schedules.preview_plan(
            document, count=wanted.next, after=wanted.after, tz=wanted.tz
        )
    return answer.Json(found)


@pages.get("/<name>/year")
@access.needs(Permission.READ)
def show_year(name: str) -> answer.Json:
    """A year of its plan: how many instants on each day, and the days when clocks change."""
    if "year" not in flask.request.args:
        raise errors.InvalidParameter([("year", Year.EXPECTED["year"])])
    wanted = search.read(flask.request.args, Year)
    with gate.reads():
        return answer.Json(road.current().operations.schedules.year(name, wanted.year))


def _shown(name: str, status: int = 200, *, revision: int | None = None) -> answer.Json:
    """A schedule as the answer, with its ETag: that of the ``revision`` that was written, though another follows it."""
    with gate.reads():
        row = road.current().operations.agenda.find(name)
    text = row["payload"].encode()
    if not access.may(Permission.SCHEDULE):  # Who may change it must see what it is.
        text, _ = veil.masked_text(row["payload"], row["type"])
    row["payload"] = msgspec.Raw(text)
    document = application.shown(row) | {"links": _links(name)}
    headers = {"ETag": f'"{row["revision"] if revision is None else revision}"'}
    if status == 201:
        headers["Location"] = document["links"]["self"]
    return answer.Json(document, status=status, headers=headers)


def _document() -> Any:
    return body.read(flask.request, road.current().settings.max_depth).value


def _revision(name: str, *, required: bool) -> int | None:
    """The revision that ``If-Match`` names; of several, the one of today. None for any."""
    given = flask.request.headers.get("If-Match", "").strip()
    if given == "*" or (not given and not required):
        return None
    if not given:
        raise errors.MatchRequired()
    parts = [part.strip() for part in given.split(",")[:LONGEST_LIST] if part.strip()]
    found = [ETAG.fullmatch(part) for part in parts]
    tags = [int(one["tag"]) for one in found if one and not one["weak"] and re.fullmatch("[0-9]{1,9}", one["tag"])]
    if len(tags) == 1:
        return tags[0]
    if tags:
        with gate.reads():
            today: int = road.current().operations.agenda.find(name)["revision"]
        if today in tags:
            return today
    raise domain_errors.ScheduleChanged(
        f"If-Match: {given[:100]} is no ETag of the schedule: GET shows the one of today"
    )


def _links(name: str) -> dict[str, str]:
    place = f"{flask.request.environ.get('SCRIPT_NAME', '')}/v1/schedules/{name}"
    return {"self": place, "slots": f"{place}/slots"}
