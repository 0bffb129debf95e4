"""When an event is to be worked: ``run_at`` or ``delay``, and ``expires_at``."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec
from werkzeug import datastructures

from service.domain import instants
from service.web import errors

LONGEST_DELAY = 100 * 366 * 86_400  #: seconds: a hundred years
LAST_YEAR = 9998  #: so that an instant is one in every time zone
#: RFC 3339, section 5.6: date-time.
INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
NUMBER = re.compile(r"[0-9]{1,10}(\.[0-9]{1,6})?")

AN_INSTANT = "an instant with its zone is wanted (RFC 3339), like 2026-01-31T08:00:00Z"
SOME_SECONDS = f"a number of seconds from 0 to {LONGEST_DELAY} is wanted"


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """The times of an event, as they were asked for."""

    run_at: datetime.datetime | None = None
    delay: float | None = None  #: seconds; in the place of ``run_at``
    expires_at: datetime.datetime | None = None

    def told(self) -> str:
        """The same text for the same times: part of what a repeat is known by."""
        return "" if self == NONE else f"{self.run_at} {self.delay} {self.expires_at}"


NONE = Timing()


class Faulty(ValueError):
    """Times that cannot be read: pairs of name and detail."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        super().__init__()
        self.faults = faults


def read(given: Mapping[str, Any]) -> Timing:
    """The times among what was given, as texts or JSON values; raises Faulty."""
    found: dict[str, Any] = {}
    faults: list[tuple[str, str]] = []
    for name in [n for n in READERS if n in given]:
        try:
            found[name] = READERS[name](given[name])
        except ValueError as error:
            faults.append((name, str(error)))
    if "run_at" in given and "delay" in given:
        faults.append(("delay", "run_at is given too, and only one of them is wanted"))
    if faults:
        raise Faulty(faults)
    return Timing(**found)


def of_query(args: datastructures.MultiDict[str, str], also: Collection[str] = ()) -> Timing:
    """The times in a query, which may have other parameters ``also``; raises InvalidParameter."""
    known = (*READERS, *also)
    faults = [(n[:100], f"there is no such parameter; there are {', '.join(known)}") for n in args if n not in known]
    faults += [(name, "it is given more than once") for name, values in args.lists() if len(values) > 1]
    if faults:
        raise errors.InvalidParameter(faults)
    try:
        # A space is what becomes of the plus of +01:00 when it is not escaped.
        return read({name: args[name].replace(" ", "+") for name in args if name in READERS})
    except Faulty as error:
        raise errors.InvalidParameter(error.faults) from None


def moment(value: Any) -> datetime.datetime:
    """The instant that a text names, in UTC, within those that are reckoned with; raises ValueError."""
    return instants.bounded(_parsed(value))


def _parsed(value: Any) -> datetime.datetime:
    """The instant itself, in UTC; raises ValueError with what is wanted."""
    if not isinstance(value, str) or not INSTANT.fullmatch(value):
        raise ValueError(AN_INSTANT)
    try:
        return msgspec.convert(value, datetime.datetime).astimezone(datetime.UTC)
    except (msgspec.ValidationError, OverflowError):
        raise ValueError(AN_INSTANT) from None


def instant(value: Any) -> datetime.datetime:
    """The same, for an event; raises ValueError for one that lies too far ahead to be one everywhere, too."""
    found = _parsed(value)
    if found.year > LAST_YEAR:
        raise ValueError(f"an instant before the end of the year {LAST_YEAR} is wanted")
    return found


def seconds(value: Any) -> float:
    """The seconds in a text or a JSON number; raises ValueError with what is wanted."""
    if isinstance(value, str) and NUMBER.fullmatch(value):
        value = float(value)
    if type(value) not in (int, float) or not 0 <= value <= LONGEST_DELAY:
        raise ValueError(SOME_SECONDS)
    return float(value)


READERS: dict[str, Callable[[Any], Any]] = {"run_at": instant, "delay": seconds, "expires_at": instant}
