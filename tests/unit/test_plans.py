"""Plans: when a schedule is due."""

from __future__ import annotations

import collections
import datetime
import itertools
import json
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import plans
from service.domain import errors, schedules
from service.plans import At, Cron, Interval, Plan, jitter

UTC = datetime.UTC


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).astimezone(UTC)


@given(st.integers(1, 400_000), st.datetimes(datetime.datetime(2000, 1, 1), datetime.datetime(2100, 1, 1)))
def test_an_interval_lies_on_a_grid_that_begins_with_the_epoch(seconds: int, moment: datetime.datetime) -> None:
    moment = moment.replace(tzinfo=UTC)
    found = Interval(seconds).next_after(moment)
    assert datetime.timedelta(0) < found - moment <= datetime.timedelta(seconds=seconds)
    assert found.timestamp() % seconds == 0


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("2h", 7200), ("1d", 86400), (1.5, 1.5), ("1.5m", 90)]
)
def test_intervals_are_read_from_text_or_seconds(text: float | str, seconds: float) -> None:
    assert Interval.read(text).seconds == seconds


@pytest.mark.parametrize("text", ["", "5", "5 minutes", "-5m", "0s", 0, -1, 1e-9, float("nan"), float("inf"), "1e3s"])
def test_what_is_no_interval_is_refused(text: float | str) -> None:
    with pytest.raises(errors.DeclarationError):
        Interval.read(text)


@pytest.mark.parametrize(
    ("expression", "tz", "moment", "due"),
    [
        ("*/5 * * * *", "UTC", "2026-11-20T12:03:00+00:00", "2026-11-20T12:05:00+00:00"),
        ("*/5 * * * *", "UTC", "2026-11-20T12:05:00+00:00", "2026-11-20T12:10:00+00:00"),
        ("30 9 * * MON", "Europe/Berlin", "2026-11-20T12:00:00+00:00", "2026-11-23T08:30:00+00:00"),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00+00:00", "2028-02-29T00:00:00+00:00"),
        # The local time 02:30 is missing on 29 March 2026: it runs right after the gap, at 03:00 summer time.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00+00:00", "2026-03-29T01:00:00+00:00"),
        # It comes twice on 25 October 2026 and runs once, the first time.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00+00:00", "2026-10-25T00:30:00+00:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00+00:00", "2026-10-26T01:30:00+00:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00+00:00", "2026-10-26T01:30:00+00:00"),
        ("0 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00+00:00", "2026-10-03T15:30:00+00:00"),
    ],
)
@pytest.mark.fault(50)
def test_cron_in_its_time_zone(expression: str, tz: str, moment: str, due: str) -> None:
    assert Cron(expression, tz).next_after(at(moment)) == at(due)


@pytest.mark.parametrize("expression", ["", "60 * * * *", "0 0 30 2 *", "* * * *", "*/0 * * * *", "a b c d e"])
def test_a_bad_expression_is_refused_and_named(expression: str) -> None:
    with pytest.raises(errors.DeclarationError, match="no cron expression"):
        Cron(expression)


@pytest.mark.parametrize("tz", ["Mars/X", "", "../etc/passwd", "Europe"])
def test_a_bad_zone_is_refused_and_named(tz: str) -> None:
    with pytest.raises(errors.DeclarationError, match="time zone"):
        Cron("* * * * *", tz)


SECOND = datetime.timedelta(seconds=1)
DAYS = datetime.timedelta(hours=40)
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "Africa/Casablanca"])
MOMENTS = st.datetimes(datetime.datetime(2020, 1, 1), datetime.datetime(2030, 1, 1), timezones=st.just(UTC))


@pytest.mark.fault(48)
@given(st.integers(1, 400_000), MOMENTS, st.integers(0, 40_000_000))
def test_what_an_interval_has_missed_is_counted_without_going_through_it(
    step: int, first: datetime.datetime, seconds: int
) -> None:
    plan, now = Interval(step), first + datetime.timedelta(seconds=seconds)
    latest, missed = plan.last_due(first, now)
    assert first <= latest <= now < plan.next_after(latest)
    assert missed == pytest.approx((latest - first).total_seconds() / step, abs=1)
    assert (missed == 0) == (latest == first)


@pytest.mark.fault(48)
@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["* * * * *", "30 2 * * *", "0 9-17/2 * * MON-FRI", "0 0 29 2 *"]), MOMENTS, st.integers(0, 9000)
)
def test_what_a_cron_plan_has_missed_is_counted(expression: str, first: datetime.datetime, hours: int) -> None:
    plan, now = Cron(expression, "Europe/Berlin"), first + datetime.timedelta(hours=hours)
    latest, missed = plan.last_due(first, now)
    coming = plan.next_after(latest)
    assert coming is not None
    assert first <= latest <= now < coming
    walked = sum(1 for _ in itertools.islice(plan.between(first + SECOND.resolution, now + SECOND.resolution), 3000))
    assert missed == walked or walked == 3000 < missed


def test_the_latest_of_many_missed_instants_is_found_in_few_steps() -> None:
    asked = 0

    class Secondly:
        def next_after(self, moment: datetime.datetime) -> datetime.datetime:
            nonlocal asked
            asked += 1
            return Interval(1).next_after(moment)

    first = at("2020-01-01T00:00:00+00:00")
    now = at("2030-01-01T00:00:00.5+00:00")
    assert schedules.latest(Secondly(), first, now) == at("2030-01-01T00:00:00+00:00")
    assert asked < 10


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["* * 3 * * *", "*/7 * * * *", "30 2 * * *", "0 0-3 * * *", "59 23 * * *", "0 0 29 2 *"]),
    st.one_of(ZONES, st.sampled_from(["Pacific/Apia", "Antarctica/Troll", "Asia/Beirut"])),
    st.sampled_from(["shift", "skip"]),
    st.sampled_from(["first", "both", "last"]),
    st.sampled_from(
        ["2011-12-30T10:00", "2025-03-30T01:00", "2025-10-26T01:00", "2025-03-09T05:00", "2025-04-05T15:00"]
    ),
    st.timedeltas(-DAYS, DAYS),
    st.timedeltas(datetime.timedelta(0), DAYS),
)
def test_instants_are_counted_around_changes_of_clocks_as_they_are_found_one_by_one(
    expression: str,
    tz: str,
    missing: str,
    doubled: str,
    change: str,
    before: datetime.timedelta,
    length: datetime.timedelta,
) -> None:
    plan = Cron(expression, tz, missing, doubled)  # type: ignore[arg-type]
    first = plan.next_after(at(f"{change}:00+00:00") + before)
    assert first is not None
    latest, missed = plan.last_due(first, first + length)
    found = list(plan.between(first, first + length + SECOND.resolution))
    assert (latest, missed) == (found[-1], len(found) - 1)


def test_an_interval_ends_with_time_itself() -> None:
    assert Interval(3600).next_after(at("9999-12-31T23:30:00+00:00")) is None


LATER = st.timedeltas(datetime.timedelta(0), datetime.timedelta(days=3))
PLANS = st.one_of(
    st.builds(
        Cron,
        st.sampled_from(["*/7 * * * *", "30 2 * * *", "0 0-3 * * *", "*/20 0 0 L * *", "0 0 31 * MON"]),
        ZONES,
        st.sampled_from([None, "shift", "skip"]),
        st.sampled_from([None, "first", "both", "last"]),
    ),
    st.builds(Interval, st.one_of(st.integers(1, 90_000), st.floats(1, 90_000)), MOMENTS),
    st.builds(At, MOMENTS),
    st.builds(At, st.datetimes(datetime.datetime(2020, 1, 1), datetime.datetime(2030, 1, 1)), ZONES),
)


@settings(max_examples=120, deadline=None)
@given(PLANS, MOMENTS)
def test_what_comes_next_is_later_and_nothing_lies_between(plan: Plan, moment: datetime.datetime) -> None:
    found = plan.next_after(moment)
    if found is not None:
        assert found > moment
        assert found.tzinfo is UTC
        assert plan.next_after(found - datetime.timedelta(microseconds=1)) == found
        assert list(plan.between(moment + datetime.timedelta(microseconds=1), found)) == []


@settings(max_examples=200, deadline=None)
@given(PLANS, MOMENTS, LATER, LATER)
def test_the_instants_of_two_neighbouring_times_are_those_of_both_together(
    plan: Plan, start: datetime.datetime, first: datetime.timedelta, second: datetime.timedelta
) -> None:
    middle, end = start + first / 20, start + first / 20 + second / 20
    whole = list(plan.between(start, end))
    assert [*plan.between(start, middle), *plan.between(middle, end)] == whole
    assert whole == sorted(set(whole))


@given(PLANS)
def test_a_plan_is_its_spec(plan: Plan) -> None:
    assert plans.read(json.loads(json.dumps(plan.spec()))) == plan
    assert plan.describe()
    assert "\n" not in plan.describe()


def test_instants_are_listed_as_they_are_asked_for() -> None:
    coming = Cron("* * * * * *").between(at("2026-01-01T00:00:00Z"), at("2999-01-01T00:00:00Z"))
    assert [f"{x:%S}" for x in itertools.islice(coming, 3)] == ["00", "01", "02"]


@pytest.mark.parametrize(
    ("document", "field", "why"),
    [
        ([], "", "a plan is a JSON object, like"),
        ({}, "", "one of the members cron, every and at"),
        ({"cron": "* * * * *", "every": 5}, "", "one of the members"),
        ({"cron": "* * * * *", "zone": "UTC"}, "zone", "no member of a plan with cron: doubled, missing, tz may be"),
        ({"every": 60, "tz": "UTC"}, "tz", "no member of a plan with every: anchor may be"),
        ({"cron": "* * * * *", "tz": 5}, "tz", "5 is no time zone"),
        ({"cron": "* * * * *", "tz": None}, "tz", "None is no time zone"),
        ({"cron": "* * * * *", "tz": "right/Europe/Berlin"}, "tz", "an IANA name like Europe/Berlin is wanted"),
        ({"cron": "* * * * *", "tz": "localtime"}, "tz", "an IANA name"),
        ({"cron": "* * * * *", "tz": []}, "tz", "an IANA name"),
        ({"cron": "* * * * *", "missing": "drop"}, "missing", "'drop' is no policy: shift or skip is wanted"),
        ({"cron": "* * * * *", "doubled": 2}, "doubled", "2 is no policy: first or both or last is wanted"),
        ({"cron": "* * * * *", "doubled": ["first"]}, "doubled", "is no policy"),
        ({"every": "5 minutes"}, "every", "30s, 5m, 2h or 1d is wanted, or seconds"),
        ({"every": True}, "every", "True is no interval"),
        ({"every": 0.5}, "every", "from a second to a year"),
        ({"every": 1e400}, "every", "from a second to a year"),
        ({"every": 10**400}, "every", "from a second to a year"),
        ({"every": 60, "anchor": "2026-01-31"}, "anchor", "date, time and offset are wanted"),
        ({"every": 60, "anchor": "2026-01-31T08:00"}, "anchor", "like 2026-01-31T08:00:00Z"),
        ({"every": 60, "anchor": None}, "anchor", "None is no instant"),
        ({"at": "tomorrow"}, "at", "'tomorrow' is no instant"),
        ({"at": "2026-01-31T08:00"}, "at", "has no zone: add Z or an offset like +01:00, or name a zone with tz"),
        ({"at": "2026-01-31T08:00", "tz": "Mars/X"}, "tz", "'Mars/X' is no time zone"),
        ({"at": "9999-12-31T23:59Z"}, "at", "too far away"),
    ],
)
def test_a_document_that_is_no_plan_is_refused_with_its_member_and_the_cure(
    document: object, field: str, why: str
) -> None:
    with pytest.raises(errors.DeclarationError, match=re.escape(why)) as caught:
        plans.read(document)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"cron": "30 9 * * MON-FRI", "tz": "Europe/Berlin"}, "at 09:30, Monday to Friday (Europe/Berlin)"),
        ({"cron": "30 2 * * *", "tz": "Europe/Berlin"}, "every day at 02:30 (Europe/Berlin)"),
        ({"cron": "0 9,17 * JUL *"}, "every day at 09:00 and 17:00, in July (UTC)"),
        ({"cron": "*/15 * * * *"}, "every 15 minutes (UTC)"),
        ({"cron": "15 * * * *"}, "at minute 15 of every hour (UTC)"),
        ({"cron": "*/5 * * * * *"}, "every 5 seconds (UTC)"),
        ({"cron": "0 9,17 L JAN,JUL *"}, "at 09:00 and 17:00, the last day of the month, in January and July (UTC)"),
        ({"cron": "0 8 1 * MON#2"}, "at 08:00, day 1 of the month or on the second Monday of the month (UTC)"),
        ({"every": "1d"}, "every day"),
        (
            {"every": 90, "anchor": "2026-01-01T01:07+01:00"},
            "every 90 seconds, on the grid through 2026-01-01 00:07:00 UTC",
        ),
        ({"at": "2026-03-29T02:30", "tz": "Europe/Berlin"}, "once, on Sunday 2026-03-29 at 03:00:00 (Europe/Berlin)"),
    ],
)  # fmt: skip
def test_a_plan_in_words(document: object, words: str) -> None:
    assert plans.read(document).describe() == words


@given(
    st.text(max_size=20),
    MOMENTS,
    st.floats(0, 90_000),
    st.one_of(st.none(), st.timedeltas(datetime.timedelta(microseconds=1), datetime.timedelta(days=1))),
)
def test_jitter_is_the_same_everywhere_and_ends_before_the_next_instant(
    name: str, planned: datetime.datetime, limit: float, gap: datetime.timedelta | None
) -> None:
    following = None if gap is None else planned + gap
    found = jitter.jittered(name, planned, limit, following)
    assert planned <= found <= planned + datetime.timedelta(seconds=limit)
    assert following is None or found < following
    elsewhere = planned.astimezone(datetime.timezone(datetime.timedelta(hours=5)))
    assert jitter.jittered(name, elsewhere, limit, following) == found


def test_jitter_does_not_reach_the_next_instant_even_if_it_is_near() -> None:
    planned = at("2026-01-01T00:00:00Z")
    following = planned + datetime.timedelta(milliseconds=3)
    found = {jitter.jittered(f"s{n}", planned, 30, following) for n in range(200)}
    assert found == {planned + datetime.timedelta(milliseconds=n) for n in range(3)}
    assert jitter.jittered("s", planned, 0, None) == planned


def test_jitter_is_drawn_evenly_over_names_and_instants() -> None:
    start = at("2026-01-01T00:00:00Z")
    many = [(f"s{n}", start) for n in range(2000)] + [("s", start + datetime.timedelta(hours=n)) for n in range(2000)]
    tenths = collections.Counter(
        int((jitter.jittered(name, planned, 30, None) - planned).total_seconds() // 3) for name, planned in many
    )
    assert sorted(tenths) == list(range(10)) or sorted(tenths) == list(range(11))  # 30.000 s itself may be drawn.
    assert all(340 < tenths[n] < 460 for n in range(10))


def test_jitter_stays_what_it_was() -> None:
    # Another draw would move what is due: clocks of two versions may run side by side.
    found = jitter.jittered("report", at("2026-01-01T00:00:00Z"), 30, None)
    assert found == at("2026-01-01T00:00:28.868Z")


@pytest.mark.heavy
def test_a_clock_can_ask_thousands_of_plans_in_a_second() -> None:
    found = [Cron(f"{n % 60} {n % 24} * * *", "Europe/Berlin") for n in range(1440)]
    moment = at("2026-01-01T00:00:00Z")
    begin = time.process_time()
    for plan in found:
        assert plan.next_after(moment)
    assert (time.process_time() - begin) / len(found) < 60e-6  # Half of it is usual.
