"""Plans in words."""

from __future__ import annotations

from service.plans.expression import MONTH, WEEKDAY, Expression, Field

DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTH_NAMES = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
ORDINALS = ("first", "second", "third", "fourth", "fifth")
UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
MANY = 6  #: times of a day that are listed


def duration(seconds: float) -> str:
    """Like ``5 minutes``: in the largest unit that it is a whole number of."""
    for size, unit in UNITS:
        if seconds % size == 0:
            number = int(seconds // size)
            return unit if number == 1 else f"{number} {unit}s"
    return f"{seconds:g} seconds"


def cron(found: Expression) -> str:
    """Like ``at 09:30, Monday to Friday``, or ``every day at 02:30``."""
    time, days = _time(found), _days(found)
    if not days and _is_listed(found):
        time = f"every day {time}"
    return ", ".join(part for part in (time, days, _months(found.fields[4])) if part)


def _is_listed(found: Expression) -> bool:
    """Whether the times of a day are told one by one."""
    return len(found.hours) * len(found.minutes) * len(found.seconds) <= MANY


def _time(found: Expression) -> str:
    second, minute, hour = found.fields[:3]
    if _is_listed(found):
        shown = [
            f"{h:02}:{m:02}" + (f":{s:02}" if second != "0" else "")
            for h in found.hours
            for m in found.minutes
            for s in found.seconds
        ]
        return f"at {_and(shown)}"
    parts = []
    if second != "0":
        parts.append(_step(second, "second") or f"at second {_numbers(second)}")
    if minute != "*" or not parts:
        parts.append(_step(minute, "minute") or f"at minute {_numbers(minute)}")
    if hour != "*":
        parts.append(_step(hour, "hour") or f"in hour {_numbers(hour)}")
    elif len(found.minutes) == 1:
        parts.append("of every hour")
    return " ".join(parts) if parts[-1] == "of every hour" else ", ".join(parts)


def _days(found: Expression) -> str:
    month, week = found.fields[3], found.fields[5]
    parts = []
    if month != "*":
        parts.append(_and([_day(term) for term in month.split(",")]))
    if week != "*":
        parts.append(_and([_weekday(term) for term in week.split(",")]))
    return (" if it is also " if found.days.both else " or on ").join(parts)


def _day(term: str) -> str:
    if term == "L":
        return "the last day of the month"
    if term == "LW":
        return "the last working day of the month"
    return _step(term, "day") or f"day {_numbers(term)} of the month"


def _weekday(term: str) -> str:
    day, nth, which = term.partition("#")
    if nth:
        return f"the {ORDINALS[int(which) - 1]} {_name(day, WEEKDAY, DAYS)} of the month"
    if term.endswith("L"):
        return f"the last {_name(term[:-1], WEEKDAY, DAYS)} of the month"
    return _step(term, "day of the week") or _span(term, WEEKDAY, DAYS)


def _months(field: str) -> str:
    if field == "*":
        return ""
    names = [_step(term, "month") or _span(term, MONTH, ("", *MONTH_NAMES)) for term in field.split(",")]
    return f"in {_and(names)}"


def _step(text: str, unit: str) -> str:
    """What stands for all of a field, or for each nth of it; nothing for anything else."""
    if text == "*":
        return f"every {unit}"
    span, _, step = text.partition("/")
    return f"every {step} {unit}s" if span == "*" and step else ""


def _span(text: str, field: Field, names: tuple[str, ...]) -> str:
    span, slash, step = text.partition("/")
    found = " to ".join(_name(part, field, names) for part in span.split("-"))
    return f"every {step} of {found}" if slash else found


def _name(text: str, field: Field, names: tuple[str, ...]) -> str:
    return names[field.number(text)]


def _numbers(field: str) -> str:
    return _and([term.replace("-", " to ").replace("/", " by ") for term in field.split(",")])


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
