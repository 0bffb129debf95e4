"""Plans in time zones, against an oracle that tries every offset."""

from __future__ import annotations

import bisect
import calendar
import datetime
import itertools
import os
import pathlib
import subprocess
import sys
import zoneinfo
from collections.abc import Callable

import cronsim
import pytest

from service.plans import At, Cron
from service.plans.choices import Doubled, Missing
from tests import walls

UTC = datetime.UTC
TEN_YEARS = (2016, 2025)
DEFAULT: tuple[Missing, Doubled] = ("shift", "first")
POLICIES: list[tuple[Missing, Doubled]] = [(m, d) for m in ("shift", "skip") for d in ("first", "both", "last")]  # type: ignore[misc]


def last_of_month(day: datetime.datetime) -> bool:
    return day.day == calendar.monthrange(day.year, day.month)[1]


#: expression, the days that it names, its times of the day
NAMED: list[tuple[str, Callable[[datetime.datetime], bool], list[tuple[int, int]]]] = [
    ("30 2 * * *", lambda day: True, [(2, 30)]),
    ("0 0 * * FRI-SUN", lambda day: day.weekday() > 3, [(0, 0)]),
    ("15 0-3 * * SUN", lambda day: day.weekday() == 6, [(h, 15) for h in range(4)]),
    ("45 23 31 * *", lambda day: day.day == 31, [(23, 45)]),
    ("0 2 29 FEB *", lambda day: (day.month, day.day) == (2, 29), [(2, 0)]),
    ("*/30 1 L * *", last_of_month, [(1, 0), (1, 30)]),
    ("0 3 1,15 * FRI", lambda day: day.day in (1, 15) or day.weekday() == 4, [(3, 0)]),
    ("0 1 */10 * SUN", lambda day: day.day in (1, 11, 21, 31) and day.weekday() == 6, [(1, 0)]),
]


@pytest.mark.fault(50)
@pytest.mark.parametrize("tz", walls.ZONES)
def test_ten_years_of_a_zone(tz: str) -> None:
    found = walls.Walls(tz, *TEN_YEARS)
    for expression, names, times in NAMED:
        wanted = found.due(names, itertools.starmap(datetime.time, times), DEFAULT, found.start, found.end)
        assert list(Cron(expression, tz).between(found.start, found.end)) == wanted, expression


def around_changes(tz: str, first: int, last: int) -> None:
    """Every policy, in the days around each change of a zone, for dense expressions."""
    found = walls.Walls(tz, first, last)
    day = datetime.timedelta(hours=30)
    dense = [("*/20 0-4,23 * * *", [0, 1, 2, 3, 4, 23], (0, 20, 40)), ("7,30 * * * *", range(24), (7, 30))]
    for change, (expression, hours, minutes) in itertools.product(found.changes, dense):
        times = [datetime.time(h, m) for h in hours for m in minutes]
        for policies in POLICIES:
            start, end = change - day, change + day
            wanted = found.due(lambda day: True, times, policies, start, end)
            plan = Cron(expression, tz, *policies)
            assert list(plan.between(start, end)) == wanted, (expression, policies, change)
            # From the middle of what is missing or comes twice, too.
            for past in range(-60, 300, 20):
                moment = change + datetime.timedelta(minutes=past, seconds=7)
                assert plan.next_after(moment) == wanted[bisect.bisect_right(wanted, moment)], (policies, moment)


@pytest.mark.fault(50)
@pytest.mark.parametrize(
    ("tz", "first", "last"),
    [
        ("Europe/Berlin", 2023, 2024),
        ("Australia/Lord_Howe", 2023, 2024),  # 30 minutes
        ("Antarctica/Troll", 2023, 2024),  # two hours
        ("Africa/Casablanca", 2023, 2024),  # twice around Ramadan
        ("Asia/Beirut", 2023, 2024),  # midnight is missing
        ("America/Havana", 2023, 2024),  # midnight comes twice
        ("Pacific/Apia", 2011, 2012),  # 30 December 2011 is missing
        ("America/Caracas", 2016, 2016),  # half an hour, for good
        ("Africa/Juba", 2021, 2021),  # an hour back, for good
    ],
)
def test_all_policies_around_each_change(tz: str, first: int, last: int) -> None:
    around_changes(tz, first, last)


@pytest.mark.heavy
@pytest.mark.fault(50)
def test_all_policies_around_each_change_of_every_zone_there_is() -> None:
    known = set()
    for tz in sorted(zoneinfo.available_timezones() - {"localtime", "Factory"}):
        if (rules := zone_file(tz)) not in known:  # Many names are one zone.
            known.add(rules)
            around_changes(tz, 2025, 2025)
    assert len(known) > 200


@pytest.mark.fault(50)
@pytest.mark.parametrize(
    ("expression", "policies", "due"),
    [
        # Berlin, 29 March 2026: 02:00 to 03:00 is missing.
        ("30 2 29 3 *", (None, None), ["01:00"]),
        ("30 2 29 3 *", ("skip", None), []),
        ("*/15 2 29 3 *", (None, None), ["01:00"]),
        ("0 2,3 29 3 *", (None, None), ["01:00"]),
        ("30 * 29 3 *", (None, None), ["23:30", "00:30", "01:30"]),
        ("30 * 29 3 *", ("shift", None), ["23:30", "00:30", "01:00", "01:30"]),
        # 25 October 2026: 02:00 to 03:00 comes twice.
        ("30 2 25 10 *", (None, None), ["00:30"]),
        ("30 2 25 10 *", (None, "both"), ["00:30", "01:30"]),
        ("30 2 25 10 *", (None, "last"), ["01:30"]),
        ("*/30 2 25 10 *", (None, None), ["00:00", "00:30"]),
        ("*/30 2 25 10 *", (None, "both"), ["00:00", "00:30", "01:00", "01:30"]),
        ("*/30 * 25 10 *", (None, None), ["22:00", "22:30", "23:00", "23:30", "00:00", "00:30", "01:00", "01:30"]),
        ("*/30 * 25 10 *", (None, "first"), ["22:00", "22:30", "23:00", "23:30", "00:00", "00:30"]),
    ],
)
def test_the_two_nights_in_berlin(expression: str, policies: tuple[Missing, Doubled], due: list[str]) -> None:
    month, day = (3, 29) if " 3 " in expression else (10, 25)
    start = datetime.datetime(2026, month, day - 1, 21, tzinfo=UTC)
    end = datetime.datetime(2026, month, day, 2, tzinfo=UTC)
    found = Cron(expression, "Europe/Berlin", *policies).between(start, end)
    assert [f"{utc:%H:%M}" for utc in found] == due


def test_a_day_that_a_zone_leaves_out() -> None:
    start, end = datetime.datetime(2011, 12, 29, 12, tzinfo=UTC), datetime.datetime(2011, 12, 31, 12, tzinfo=UTC)
    found = Cron("0 9 * * *", "Pacific/Apia").between(start, end)
    # 30 December is missing: its run comes at the first instant of the 31st.
    local = [f"{utc.astimezone(zoneinfo.ZoneInfo('Pacific/Apia')):%d %H:%M}" for utc in found]
    assert local == ["29 09:00", "31 00:00", "31 09:00"]


def in_cronsim(expression: str, tz: str, day: str) -> list[str]:
    start = datetime.datetime.fromisoformat(day).replace(tzinfo=zoneinfo.ZoneInfo(tz))
    found = cronsim.CronSim(expression, start - datetime.timedelta(seconds=1))
    return [f"{local:%H:%M%z}" for local in itertools.islice(found, 4) if local.date() == start.date()]


@pytest.mark.parametrize(
    ("expression", "tz", "day", "theirs", "ours"),
    [
        # It goes forward by hours of real time, and loses what comes after a change by half an hour.
        ("0 */3 * * *", "Australia/Lord_Howe", "2023-04-02", ["00:00+1100", "06:00+1030", "09:00+1030", "12:00+1030"],
         ["00:00+1100", "03:00+1030", "06:00+1030", "09:00+1030"]),
        # It looks after daylight saving in five fields only.
        ("0 30 2 * * *", "Europe/Berlin", "2026-03-29", [], ["03:00+0200"]),
        ("0 30 2 * * *", "Europe/Berlin", "2026-10-25", ["02:30+0200", "02:30+0100"], ["02:30+0200"]),
        # And not where the minute begins with a star.
        ("*/20 2 * * *", "Europe/Berlin", "2026-03-29", [], ["03:00+0200"]),
    ],
)  # fmt: skip
def test_why_cronsim_is_our_oracle_and_not_our_base(
    expression: str, tz: str, day: str, theirs: list[str], ours: list[str]
) -> None:
    assert in_cronsim(expression, tz, day) == theirs
    start = datetime.datetime.fromisoformat(day).replace(tzinfo=zoneinfo.ZoneInfo(tz))
    found = (utc.astimezone(start.tzinfo) for utc in Cron(expression, tz).between(start, start + 2 * walls.DAY))
    assert [f"{x:%H:%M%z}" for x in itertools.islice(found, 4) if x.date() == start.date()] == ours


def zone_file(name: str) -> bytes:
    for folder in zoneinfo.TZPATH:
        if (path := pathlib.Path(folder, name)).is_file():
            return path.read_bytes()
    import tzdata

    return pathlib.Path(tzdata.__file__).parent.joinpath("zoneinfo", name).read_bytes()


@pytest.mark.fault(50)
def test_a_changed_tz_database_changes_the_instants(tmp_path: pathlib.Path) -> None:
    # As if the European Union had ended daylight saving: Berlin by Lagos' rules, UTC+1 all the year.
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Europe" / "Berlin").write_bytes(zone_file("Africa/Lagos"))
    code = """if True:
        import datetime
        from service import plans
        start = datetime.datetime(2026, 7, 1, tzinfo=datetime.UTC)
        for spec in {"cron": "30 9 * * *", "tz": "Europe/Berlin"}, {"at": "2026-07-01T10:00", "tz": "Europe/Berlin"}:
            print(f"{plans.read(spec).next_after(start):%H:%M}")
    """
    for path, due in (os.pathsep.join(zoneinfo.TZPATH), ["07:30", "08:00"]), (str(tmp_path), ["08:30", "09:00"]):
        environment = {**os.environ, "PYTHONTZPATH": path}
        found = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        assert found.stdout.split() == due


@pytest.mark.parametrize(
    ("moment", "tz", "due"),
    [
        ("2026-03-29T02:30", "Europe/Berlin", "2026-03-29T01:00:00+00:00"),  # missing
        ("2026-10-25T02:30", "Europe/Berlin", "2026-10-25T00:30:00+00:00"),  # doubled
        ("2026-07-01T09:00", "Europe/Berlin", "2026-07-01T07:00:00+00:00"),
        ("2026-07-01T09:00-04:00", "Europe/Berlin", "2026-07-01T13:00:00+00:00"),
    ],
)
def test_a_local_time_that_is_due_once(moment: str, tz: str, due: str) -> None:
    plan = At(datetime.datetime.fromisoformat(moment), tz)
    [found] = plan.between(datetime.datetime(2026, 1, 1, tzinfo=UTC), datetime.datetime(2027, 1, 1, tzinfo=UTC))
    assert found.isoformat() == due
    assert plan.next_after(found) is None
