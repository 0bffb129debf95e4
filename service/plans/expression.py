"""Cron expressions, on local time without zones.

    second (may be left out: 0) · minute · hour · day of the month · month · day of the week

Each field is ``*``, a number or name, a range ``a-b``, a step ``*/n``, ``a/n`` or ``a-b/n``, or a list of these. Days
of the month know ``L``, the last one, and ``LW``, the last one from Monday to Friday; days of the week (0 or 7 is
Sunday) know ``5L``, the last Friday of the month, and ``MON#2``, the second Monday.

Where both kinds of days are named, a day that fits either is meant; where one of the two fields begins with ``*``, both
must fit. Source: crontab(5) of Vixie cron, as Debian has it.
"""

from __future__ import annotations

import bisect
import calendar
import dataclasses
import datetime
import functools

from service.domain import errors

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
YEARS = 41  #: after which every 29 February has been every day of the week, a year like 2100 included
LONGEST = 1000  #: characters of an expression


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One field of an expression: what may stand in it."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        """A number or a name; raises ValueError."""
        if text in self.names:
            return self.names.index(text) + self.low
        if not (text.isascii() and text.isdigit()) or not self.low <= int(text[:9]) <= self.high:
            wanted = f"a number from {self.low} to {self.high}"
            raise ValueError(f"{self.name}: {text!r} is not {wanted}" + (f", or {self.names[0]}" if self.names else ""))
        return int(text)

    def numbers(self, text: str) -> range:
        """A term without commas: ``*``, ``a``, ``a-b``, with or without a step; raises ValueError."""
        span, slash, step = text.partition("/")
        if slash and not (step.isascii() and step.isdigit() and 0 < int(step[:9]) <= self.high):
            raise ValueError(f"{self.name}: {step!r} is no step: a number from 1 to {self.high} is wanted after the /")
        first, dash, last = span.partition("-")
        if span == "*":
            low, high = self.low, self.high
        elif dash:
            low, high = self.number(first), self.number(last)
            high = 7 if self is WEEKDAY and low > high == 0 else high  # Sunday ends a week, too.
        else:
            low = self.number(first)
            high = self.high if slash else low
        if low > high:
            raise ValueError(
                f"{self.name}: {span!r} runs backwards; round the corner is {first}-{self.high},{self.low}-{last}"
            )
        return range(low, high + 1, int(step) if slash else 1)


SECOND = Field("second", 0, 59)
MINUTE = Field("minute", 0, 59)
HOUR = Field("hour", 0, 23)
DAY = Field("day of the month", 1, 31)
MONTH = Field("month", 1, 12, MONTHS)
WEEKDAY = Field("day of the week", 0, 7, WEEKDAYS)


@dataclasses.dataclass(frozen=True, slots=True)
class Days:
    """Which days of a month are meant. Days of the week: 0 is Monday, as Python counts."""

    numbers: frozenset[int]
    last: bool  #: the last day of the month
    last_working: bool  #: the last day from Monday to Friday
    weekdays: frozenset[int]
    last_weekdays: frozenset[int]  #: the last such day of the month
    nth_weekdays: frozenset[tuple[int, int]]  #: (day of the week, which one of the month, from 1)
    both: bool  #: a day must be both, of the month and of the week; else either is enough

    def of(self, first: int, length: int) -> tuple[int, ...]:
        """The days of a month that begins on this day of the week and has so many days."""
        last = (first + length - 1) % 7
        last_working = length - max(0, last - 4)
        found = []
        for day in range(1, length + 1):
            weekday = (first + day - 1) % 7
            in_month = (
                day in self.numbers or (self.last and day == length) or (self.last_working and day == last_working)
            )
            in_week = (
                weekday in self.weekdays
                or (weekday in self.last_weekdays and day + 7 > length)
                or (weekday, (day + 6) // 7) in self.nth_weekdays
            )
            if (in_month and in_week) if self.both else (in_month or in_week):
                found.append(day)
        return tuple(found)


@dataclasses.dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression. All numbers are sorted."""

    fields: tuple[str, ...]  #: the six fields, in capitals
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: tuple[int, ...]
    days: Days
    #: (day of the week on which a month begins, its length) → its days, filled as months are looked at
    _known: dict[tuple[int, int], tuple[int, ...]] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    @property
    def every_hour(self) -> bool:
        """Whether it runs in every hour of the day."""
        return len(self.hours) == 24

    def first_from(self, wall: datetime.datetime) -> datetime.datetime | None:
        """The first local time at ``wall`` (naive, whole seconds) or later; None when there is none."""
        if wall.month in self.months and wall.day in self._days(wall.year, wall.month):
            time = self._time_from(wall.hour, wall.minute, wall.second)
            if time is not None:
                return datetime.datetime(wall.year, wall.month, wall.day, *time)
        after = (wall.year, wall.month, wall.day)
        for year in range(wall.year, min(wall.year + YEARS, datetime.MAXYEAR)):
            for month in self.months:
                if (year, month) < after[:2]:
                    continue
                days = self._days(year, month)
                at = bisect.bisect_right(days, wall.day) if (year, month) == after[:2] else 0
                if at < len(days):
                    return datetime.datetime(year, month, days[at], self.hours[0], self.minutes[0], self.seconds[0])
        return None

    def count(self, begin: datetime.datetime, end: datetime.datetime) -> int:
        """How many local times lie in ``[begin, end)``, counted day by day without going through them."""
        found, day = 0, begin.date()
        while day <= end.date():
            if day.month in self.months and day.day in self._days(day.year, day.month):
                whole = len(self.hours) * len(self.minutes) * len(self.seconds)
                found += self._before(end.time()) if day == end.date() else whole
                found -= self._before(begin.time()) if day == begin.date() else 0
            day += datetime.timedelta(days=1)
        return found

    def _before(self, time: datetime.time) -> int:
        """How many times of a day lie before this one."""
        hours, minutes, seconds = (
            bisect.bisect_left(known, given)
            for known, given in ((self.hours, time.hour), (self.minutes, time.minute), (self.seconds, time.second))
        )
        found = hours * len(self.minutes)
        if time.hour in self.hours:
            found += minutes
            if time.minute in self.minutes:
                return found * len(self.seconds) + seconds
        return found * len(self.seconds)

    def _days(self, year: int, month: int) -> tuple[int, ...]:
        shape = calendar.monthrange(year, month)
        found = self._known.get(shape)
        if found is None:
            found = self._known[shape] = self.days.of(*shape)
        return found

    def _time_from(self, hour: int, minute: int, second: int) -> tuple[int, int, int] | None:
        """The first time of the day that is not before this one."""
        at = bisect.bisect_left(self.hours, hour)
        if at == len(self.hours):
            return None
        if self.hours[at] == hour:
            m = bisect.bisect_left(self.minutes, minute)
            if m < len(self.minutes) and self.minutes[m] == minute:
                s = bisect.bisect_left(self.seconds, second)
                if s < len(self.seconds):
                    return hour, minute, self.seconds[s]
                m += 1
            if m < len(self.minutes):
                return hour, self.minutes[m], self.seconds[0]
            at += 1
        return (self.hours[at], self.minutes[0], self.seconds[0]) if at < len(self.hours) else None


@functools.lru_cache(8192)
def parse(text: object) -> Expression:
    """Read an expression; raises DeclarationError that names what is wrong, for one that is never due, too."""
    try:
        found = _parse(text)
    except ValueError as error:
        shown = text if isinstance(text, str) and len(text) <= LONGEST else "this"
        raise errors.DeclarationError(f"cron: {shown!r} is no cron expression: {error}", field="cron") from None
    if found.first_from(datetime.datetime(2000, 1, 1)) is None:
        raise errors.DeclarationError(
            f"cron: {text!r} is no cron expression that is ever due: no month that it names has such a day",
            field="cron",
        )
    return found


def _parse(text: object) -> Expression:
    if not isinstance(text, str) or len(text) > LONGEST:
        raise ValueError(f"text of at most {LONGEST} characters is wanted")
    fields = text.upper().split()
    if len(fields) == 5:
        fields.insert(0, "0")
    if len(fields) != 6:
        raise ValueError(
            f"it has {len(fields)} fields; five are wanted (minute, hour, day, month, day of the week), or six with the"
            " second first"
        )
    return Expression(
        tuple(fields),
        _sorted(SECOND, fields[0]),
        _sorted(MINUTE, fields[1]),
        _sorted(HOUR, fields[2]),
        _sorted(MONTH, fields[4]),
        _parse_days(fields[3], fields[5]),
    )


def _sorted(field: Field, text: str) -> tuple[int, ...]:
    return tuple(sorted({number for term in text.split(",") for number in field.numbers(term)}))


def _parse_days(month: str, week: str) -> Days:
    words = set(month.split(","))
    numbers = {number for term in words - {"L", "LW"} for number in DAY.numbers(term)}
    weekdays: set[int] = set()
    last_weekdays: set[int] = set()
    nth_weekdays: set[tuple[int, int]] = set()
    for term in week.split(","):
        day, nth, which = term.partition("#")
        if nth:
            if which not in ("1", "2", "3", "4", "5"):
                raise ValueError(f"{WEEKDAY.name}: {term!r}: a number from 1 to 5 is wanted after the #")
            nth_weekdays.add(((WEEKDAY.number(day) + 6) % 7, int(which)))
        elif term.endswith("L") and term != "L":
            last_weekdays.add((WEEKDAY.number(term[:-1]) + 6) % 7)
        elif term == "L":
            raise ValueError(f"{WEEKDAY.name}: 'L' says no day: 5L is the last Friday of the month, 6 is Saturday")
        else:
            weekdays.update((number + 6) % 7 for number in WEEKDAY.numbers(term))
    return Days(
        frozenset(numbers),
        "L" in words,
        "LW" in words,
        frozenset(weekdays),
        frozenset(last_weekdays),
        frozenset(nth_weekdays),
        both=month.startswith("*") or week.startswith("*"),
    )
