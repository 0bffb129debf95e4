"""How the console says things: times on the viewer's clock, states, and what everybody says. Filters for Jinja."""

from __future__ import annotations

import datetime
import re
from typing import Any

import flask
import markupsafe

from service.domain import errors, outcome
from service.domain.words import NONE, between, count, many, percent, rate, span
from service.plans import zones

__all__ = (
    "NONE", "at", "badge", "between", "clock", "count", "many", "now", "percent", "rate", "reason", "short", "slot",
    "span", "state_of", "tail", "traceback", "until", "zone", "zone_name",
)  # fmt: skip

#: What is shown → the class of its badge, where the word is not the class.
CLASSES = {"held back": "held"}


def now() -> datetime.datetime:
    """The time by which a page says "today" and "in 22 s"; nothing is decided by it."""
    return datetime.datetime.now(datetime.UTC)


def zone() -> datetime.tzinfo:
    """The viewer's time zone, as the browser told it in a cookie; UTC without one."""
    if "zone" not in flask.g:
        name = flask.request.cookies.get("millrace_zone", "UTC")
        try:
            flask.g.zone = zones.get(name[:100])
        except errors.DeclarationError:  # Of a newer tz database than ours, say.
            flask.g.zone = datetime.UTC
    found: datetime.tzinfo = flask.g.zone
    return found


def zone_name() -> str:
    """The name of the viewer's time zone."""
    return str(zone())


def clock(moment: datetime.datetime, digits: str = "seconds") -> str:
    """An instant on the viewer's clock; with its day when that is not today."""
    local = moment.astimezone(zone())
    if digits == "short":  # Of plans: most of them stand on whole minutes.
        digits = "seconds" if local.second else "minutes"
    time = {
        "minutes": f"{local:%H:%M}",
        "seconds": f"{local:%H:%M:%S}",
        "milliseconds": f"{local:%H:%M:%S}.{local.microsecond // 1000:03d}",
    }[digits]
    today = now().astimezone(zone()).date()
    if local.date() == today:
        return time
    day = f"{local:%a} {local.day} {local:%b}"
    return f"{day} {time}" if abs((local.date() - today).days) < 180 else f"{day} {local.year} {time}"


def at(moment: datetime.datetime | None, digits: str = "seconds") -> markupsafe.Markup:
    """An instant as a ``time`` element."""
    if moment is None:
        return markupsafe.Markup(NONE)
    utc = moment.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return markupsafe.Markup('<time datetime="{}" title="{}">{}</time>').format(
        utc, f"{utc.replace('T', ' ').removesuffix('Z')} UTC", clock(moment, digits)
    )


def until(moment: datetime.datetime) -> markupsafe.Markup:
    """``in 22 s``, counted down by the browser."""
    seconds = (moment - now()).total_seconds()
    text = f"in {span(seconds)}" if seconds >= 1 else "now"
    return markupsafe.Markup('<span data-until="{}">{}</span>').format(round(moment.timestamp() * 1000), text)


def short(event_id: str) -> str:
    """An id by its last digits: the first ones are shared by neighbours."""
    return f"…{tail(event_id)}"


def tail(event_id: str) -> str:
    """What of an id is typed to show that it is meant."""
    return event_id[-8:].lower()


def state_of(event: dict[str, Any]) -> str:
    """The word for an event: its state, and of a pending one why it waits."""
    return str(event["reason"] or event["state"]) if event["state"] == "pending" else str(event["state"])


def badge(word: str, kind: str = "state") -> markupsafe.Markup:
    """Shape, colour and word: of a state, a slot or a process."""
    css = CLASSES.get(word, word.replace(" ", "-"))
    return markupsafe.Markup('<span class="{} {}">{}</span>').format(kind, css, word)


def slot(word: str) -> markupsafe.Markup:
    """The badge of what became of a slot."""
    css = {"caught_up": "caught", "held": "held", "run_now": "fired", "backfilled": "fired"}.get(word, word)
    return markupsafe.Markup('<span class="slot {}">{}</span>').format(css, word.replace("_", " "))


def reason(word: str | None) -> str:
    """Why an event is a dead letter."""
    return outcome.told(word) if word else ""


#: A line of a traceback that names a file of libraries, of Python, or of ours that calls the handler.
LIBRARY = re.compile(r"-packages/|[\"/]python3[^/]*/|[\"/]service/application/")


def traceback(text: str) -> markupsafe.Markup:
    """A traceback with its parts told apart: the error, what libraries did, and what the handler's own code did."""
    found, css = [], "lib"
    for line in text.rstrip("\n").split("\n"):
        if line.lstrip().startswith('File "'):
            css = "lib" if LIBRARY.search(line) else "own"
        elif not line.startswith(" "):
            css = "lib" if line.startswith(("Traceback", "During", "The above")) else "err"
        found.append(markupsafe.Markup('<span class="{}">{}</span>').format(css, line))
    return markupsafe.Markup("\n").join(found)
