"""Plans: when a schedule is due."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain import errors, schedules
from service.plans import Cron, Interval

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
def test_what_a_cron_plan_has_missed_is_counted_up_to_a_bound(
    expression: str, first: datetime.datetime, hours: int
) -> None:
    plan, now = Cron(expression, "Europe/Berlin"), first + datetime.timedelta(hours=hours)
    latest, missed = plan.last_due(first, now)
    coming = plan.next_after(latest)
    assert coming is not None
    assert first <= latest <= now < coming
    found, walked = first, 0
    while walked < schedules.COUNTED and (later := plan.next_after(found)) is not None and later <= now:
        found, walked = later, walked + 1
    assert missed == walked
    assert missed == schedules.COUNTED or latest == found


def test_the_latest_of_many_missed_instants_is_found_in_few_steps() -> None:
    asked = 0

    class Secondly:
        def next_after(self, moment: datetime.datetime) -> datetime.datetime:
            nonlocal asked
            asked += 1
            return Interval(1).next_after(moment)

    first = at("2020-01-01T00:00:00+00:00")
    now = at("2030-01-01T00:00:00.5+00:00")
    latest, missed = schedules.last_due(Secondly(), first, now)  # type: ignore[arg-type]
    assert (latest, missed) == (at("2030-01-01T00:00:00+00:00"), schedules.COUNTED)
    assert asked < schedules.COUNTED + 150
