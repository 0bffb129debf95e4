"""Dead letters: group, choose, look at what a replay would do, replay."""

from __future__ import annotations

import datetime
import math
import urllib.parse
from typing import Any

import flask
import msgspec

from service.application import overview, replay
from service.domain import errors, outcome
from service.domain.access import Permission
from service.web import access, gate, letters, operations, road, search
from service.web.console import forms, page, query, words

SHOWN = 50
#: What is shown → whether they were replayed, and discarded; None: either.
SHOW: dict[str, tuple[bool | None, bool | None]] = {
    "open": (False, False),
    "replayed": (True, None),
    "discarded": (None, True),
    "all": (None, None),
}
RATES = (1.0, 10.0, 100.0)  #: events per second that are offered
MOST = 10_000  #: letters in one replay, the oldest
LOOKED = 2.0  #: seconds for which a dry run looks at letters
SECONDS = 8.0  #: of one turn of a replay; the page asks for the next one


class Chosen(letters.Which, frozen=True):
    """Which dead letters a form means."""

    all: bool = False  #: without a filter every one, as the form has said

    def path(self) -> str:
        """The filter as a query."""
        given = {name: getattr(self, name) for name in ("type", "reason", "since", "until")}
        shown = {n: v.isoformat() if n in ("since", "until") else str(v) for n, v in given.items() if v is not None}
        return urllib.parse.urlencode(shown)


@page.pages.get("/dead")
@access.needs(Permission.READ)
def dead() -> flask.Response:
    """The groups, and the letters that the filter finds."""
    here = road.current()
    show = flask.request.args.get("show", "open")
    wanted = search.read(query.given("show", "within", "all"), letters.List)
    chosen = chosen_by("show", "cursor", "limit", "replayed")
    filters = chosen.filters(*SHOW.get(show, SHOW["all"]))
    with gate.reads():
        groups = here.operations.figures.letters()
        found = here.operations.letters.list(filters, limit=SHOWN, cursor=wanted.cursor)
    return page.render(
        "dead.html",
        groups=groups,
        chosen=chosen,
        rows=[row | {"message": (row["error"] or {}).get("message", "")} for row in found.rows],
        older=query.link(cursor=found.next_cursor) if found.next_cursor else None,
        newest=query.link(cursor=None) if wanted.cursor else None,
        show=show,
        shows=[(name, name) for name in SHOW],
        within=flask.request.args.get("within", ""),
        spans=[(name, told[0]) for name, told in query.WITHIN.items()],
        reasons=[(one.value, one.told) for one in outcome.Reason],
        types=sorted({group.type for group in groups.groups} | ({chosen.type} if chosen.type else set())),
        same=chosen.path(),
        count=sum(group.count for group in groups.groups if _is_in(group, chosen)),
        whole=not (chosen.since or chosen.until),
        next="; ".join(filter(None, (chosen.type, words.reason(chosen.reason)))),
    )


@page.pages.get("/live/dead")
@access.needs(Permission.READ)
def live_dead() -> flask.Response:
    """The groups, as they are by now."""
    chosen = chosen_by("show", "cursor", "limit", "replayed")
    with gate.reads():
        return page.fragment("dead_live.html", groups=road.current().operations.figures.letters(), chosen=chosen)


@page.pages.get("/dead/replay")
@access.needs(Permission.CONTROL)
def ask_replay_dead() -> flask.Response:
    """What a replay would do, counted; nothing is changed. And the form to do it."""
    here, chosen, ids = road.current(), chosen_by("id", "show"), flask.request.args.getlist("id")[:SHOWN]
    if ids:
        return page.dialog("replay_chosen.html", ids=ids, count=len(ids), same=chosen.path())
    counted_at = forms.now()
    found = _dry_run(until(chosen, counted_at), seconds=LOOKED)
    return page.dialog(
        "replay_dead.html",
        counted_at=counted_at,
        chosen=chosen,
        found=found,
        takes=[(rate, words.span(math.ceil(found.replayed / rate))) for rate in RATES],
        failing=None if chosen.type is None else overview.failing(here.operations.figures.flow(), chosen.type, few=1),
        same=chosen.path(),
    )


@page.pages.post("/dead/replay")
@forms.acts
@access.needs(Permission.CONTROL)
def replay_dead() -> Any:
    """Replay them, if they are still as many as were counted; in turns, with the progress as the page."""
    here = road.current().operations
    ids = flask.request.form.getlist("id")[:SHOWN]
    if ids:
        return _replay_chosen(ids)
    chosen, total, stays = chosen_by(), forms.number("total"), forms.number("stays")
    back = forms.back(f"/console/dead?{chosen.path()}")  # As it was asked for, with what has died since.
    if not total:
        chosen = until(chosen, forms.counted_at())
        counted = _dry_run(chosen)
        total, stays, typed = counted.replayed, counted.left, forms.number("confirm")
        if forms.text("some") and 0 < typed < total:
            total, stays = typed, stays + total - typed  # The count was given up there, for it took long.
        if not typed or typed != total:
            raise forms.NotConfirmed()
    # How many are still to come the ledger says, and not the form: a page that is sent twice replays nothing more.
    room = min(sum(here.letters.count(chosen.filters()).values()) - stays, total)
    rate = next((rate for rate in RATES if str(rate) == forms.text("rate")), RATES[1])
    found = here.replayer.some(
        chosen.filters(), limit=max(0, room), rate=rate, by=operations.by(),
        request_id=flask.g.request_id, seconds=SECONDS, starts_at=forms.moment("starts_at"),
    )  # fmt: skip
    here.figures.forget()
    done = total - max(0, room - found.replayed)
    if found.complete or done >= total or not found.replayed:
        left = f"; {found.left:,} were left alone" if found.left else ""
        return forms.done(f"{words.many(done, 'dead letter')} replayed{left}", back)
    return page.render(
        "replaying.html", chosen=chosen, same=chosen.path(), done=done, total=total, stays=stays, rate=rate,
        starts_at=found.next_at, because=forms.because() or "", back=back,
    )  # fmt: skip


def _replay_chosen(ids: list[str]) -> flask.Response:
    """Replay single letters; what cannot be is told, and keeps nobody else back."""
    here, done, faults = road.current().operations, 0, []
    for event_id in ids:
        try:
            here.replayer.one(event_id, by=operations.by(), request_id=flask.g.request_id)
            done += 1
        except (errors.NotDead, errors.AlreadyReplayed, errors.InvalidEvent, errors.MillraceError) as error:
            if isinstance(error, errors.LedgerUnavailable):
                raise
            faults.append(f"{words.short(event_id)}: {error}")
    here.figures.forget()
    said = f"{words.many(done, 'dead letter')} replayed"
    said += f"; {words.many(len(faults), 'one was', 'were')} left alone: {faults[0]}" if faults else ""
    return forms.done(said, f"/console/dead?{chosen_by().path()}", "warning" if faults else "yes")


def chosen_by(*own: str) -> Chosen:
    """Which letters are meant; a length of time becomes an instant, so that a form means the same when it is sent."""
    found, since = search.read(query.given("within", *own), Chosen), query.within()
    return found if since is None or found.since else msgspec.structs.replace(found, since=since)


def until(chosen: Chosen, moment: datetime.datetime) -> Chosen:
    """Those of them that died before this instant. Raises InvalidEvent where nobody has said which are meant."""
    if not (chosen.path() or chosen.all):
        raise errors.InvalidEvent([], "select some, name a type, a reason or a time, or say that all of them are meant")
    return chosen if chosen.until else msgspec.structs.replace(chosen, until=moment)


def _dry_run(chosen: Chosen, seconds: float | None = None) -> replay.Summary:
    replayer = road.current().operations.replayer
    with gate.reads():
        return replayer.some(chosen.filters(), limit=MOST, dry_run=True, by=operations.by(), seconds=seconds)


def _is_in(group: Any, chosen: Chosen) -> bool:
    return chosen.type in (None, group.type) and chosen.reason in (None, group.reason)
