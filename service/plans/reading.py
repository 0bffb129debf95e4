"""A plan from JSON."""

from __future__ import annotations

import contextlib
import datetime
import re
from typing import Any

from service.domain import errors
from service.plans.at import At
from service.plans.base import Plan
from service.plans.cron import Cron
from service.plans.interval import EPOCH, Interval

#: The member that says which kind it is → the other ones that it may have.
MEMBERS = {"cron": {"tz", "missing", "doubled"}, "every": {"anchor"}, "at": {"tz"}}
EXAMPLE = '{"cron": "30 9 * * MON-FRI", "tz": "Europe/Berlin"}, {"every": "5m"} or {"at": "2026-01-31T08:00:00Z"}'


def read(document: Any) -> Plan:
    """The plan that a JSON object says; the inverse of ``Plan.spec``.

    ``{"cron": text, "tz": name, "missing": "shift"|"skip", "doubled": "first"|"both"|"last"}``, where all but ``cron``
    may be left out; ``{"every": seconds or text like "5m", "anchor": instant}``; ``{"at": instant}``, or
    ``{"at": local time, "tz": name}``. Raises DeclarationError, whose ``field`` is the member that is wrong.
    """
    if not isinstance(document, dict):
        raise errors.DeclarationError(f"a plan is a JSON object, like {EXAMPLE}")
    kinds = [kind for kind in MEMBERS if kind in document]
    if len(kinds) != 1:
        raise errors.DeclarationError(f"a plan has one of the members cron, every and at, like {EXAMPLE}")
    [kind] = kinds
    for name in document:
        if name != kind and name not in MEMBERS[kind]:
            wanted = ", ".join(sorted(MEMBERS[kind]))
            raise errors.DeclarationError(f"{name}: no member of a plan with {kind}: {wanted} may be", field=str(name))
    if kind == "cron":
        if not isinstance(document["cron"], str):
            raise errors.DeclarationError(
                f"cron: text is wanted, like 0 3 * * *, not {str(document['cron'])[:100]}", field="cron"
            )
        return Cron(document["cron"], document.get("tz", "UTC"), document.get("missing"), document.get("doubled"))
    if kind == "every":
        return Interval.read(document["every"], instant(document["anchor"]) if "anchor" in document else EPOCH)
    return at(document["at"], document.get("tz"))


def at(value: object, tz: str | None = None) -> At:
    """A plan for one instant: a datetime or text, with an offset, or local time with ``tz``."""
    found = value if isinstance(value, datetime.datetime) else _datetime(value, "at", zone=False)
    if found.tzinfo is None and tz is None:
        raise errors.DeclarationError(
            f"at: {found.isoformat()} has no zone: add Z or an offset like +01:00, or name a zone with tz", field="at"
        )
    return At(found, tz or "UTC")


def instant(value: object, field: str = "anchor") -> datetime.datetime:
    """An instant from text, with a zone."""
    return _datetime(value, field, zone=True)


def _datetime(value: object, field: str, *, zone: bool) -> datetime.datetime:
    found = None
    # Python would take a mere date, too, and read it as its midnight.
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d[T ]\d\d", value):
        with contextlib.suppress(ValueError):
            found = datetime.datetime.fromisoformat(value)
    if found is None or (zone and found.tzinfo is None):
        raise errors.DeclarationError(
            f"{field}: {value!r} is no instant: date, time and offset are wanted, like 2026-01-31T08:00:00Z",
            field=field,
        )
    return found
