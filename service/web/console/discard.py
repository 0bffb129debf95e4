"""Discarding dead letters: one, those that were picked, or what the filter finds, counted first."""

from __future__ import annotations

import datetime

import flask

from service.domain import errors
from service.domain.access import Permission
from service.web import access, gate, operations, road
from service.web.console import dead, forms, page, words


@page.pages.get("/dead/discard")
@access.needs(Permission.CONTROL)
def ask_discard_dead() -> flask.Response:
    """What would be discarded, counted; nothing is changed. And the form to do it."""
    chosen, ids = dead.chosen_by("id", "show"), flask.request.args.getlist("id")[: dead.SHOWN]
    counted_at = forms.now()
    types = {} if ids else _counted(chosen, counted_at)
    return page.dialog(
        "discard_dead.html", chosen=chosen, ids=ids, types=types, count=len(ids) or sum(types.values()),
        same=chosen.path(), counted_at=counted_at,
    )  # fmt: skip


@page.pages.post("/dead/discard")
@forms.acts
@access.needs(Permission.CONTROL)
def discard_dead() -> flask.Response:
    """Discard them, if they are still as many as were counted."""
    here, chosen = road.current().operations, dead.chosen_by()
    ids = flask.request.form.getlist("id")[: dead.SHOWN]
    if ids:
        forms.check_typed(str(len(ids)))
        return _discard_picked(ids, chosen)
    counted_at = forms.counted_at()
    count = sum(_counted(chosen, counted_at).values())
    if forms.text("confirm") != str(count):
        raise forms.NotConfirmed()
    meant = dead.until(chosen, counted_at).filters()
    types = here.control.discard_letters(meant, limit=count, by=operations.by())
    here.figures.forget()
    return forms.done(f"{words.many(sum(types.values()), 'dead letter')} discarded", f"/console/dead?{chosen.path()}")


@page.pages.get("/events/<event_id>/discard")
@access.needs(Permission.CONTROL)
def ask_discard_event(event_id: str) -> flask.Response:
    """The form to discard one."""
    with gate.reads():
        found = road.current().queries.find(event_id)
    if found is None:
        raise errors.EventNotFound(f"there is no event {event_id[:100]!r}")
    return page.dialog("discard_event.html", event=found)


@page.pages.post("/events/<event_id>/discard")
@forms.acts
@access.needs(Permission.CONTROL)
def discard_event(event_id: str) -> flask.Response:
    """Have nothing more come of it."""
    here = road.current().operations
    here.control.discard_letter(event_id, by=operations.by())
    here.figures.forget()
    return forms.done("The dead letter is discarded; the event stays as it is", f"/console/events/{event_id}")


def _counted(chosen: dead.Chosen, counted_at: datetime.datetime) -> dict[str, int]:
    """How many there are, by type; what dies from then on is not meant."""
    with gate.reads():
        return road.current().operations.letters.count(dead.until(chosen, counted_at).filters())


def _discard_picked(ids: list[str], chosen: dead.Chosen) -> flask.Response:
    """Discard single letters; what cannot be is told, and keeps nobody else back."""
    here, done, faults = road.current().operations, 0, []
    for event_id in ids:
        try:
            here.control.discard_letter(event_id, by=operations.by())
            done += 1
        except (errors.EventNotFound, errors.NotDead, errors.AlreadyReplayed, errors.AlreadyDiscarded) as error:
            faults.append(f"{words.short(event_id)}: {error}")
    here.figures.forget()
    said = f"{words.many(done, 'dead letter')} discarded"
    said += f"; {words.many(len(faults), 'one was', 'were')} left alone: {faults[0]}" if faults else ""
    return forms.done(said, f"/console/dead?{chosen.path()}", "warning" if faults else "yes")
