"""Instants that were fired by the old rules of a time zone: which local time was meant, and what comes after it."""

from __future__ import annotations

import datetime
import pathlib

import pytest

from service.plans import Cron, Interval, rezoned
from service.plans.choices import Missing
from tests.zones import ZONE, a_tree, rules

DAY = datetime.timedelta(days=1)
BEGIN = datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC)


def at(text: str, day: int = 0) -> datetime.datetime:
    hour, minute = map(int, text.split(":"))
    return BEGIN + datetime.timedelta(days=day, hours=hour, minutes=minute)


def following(
    folder: pathlib.Path, expression: str, old: float, new: float, fired: datetime.datetime
) -> list[datetime.datetime]:
    """The next two instants after one that was fired by the old rules."""
    with rules(a_tree(folder / "old", old)):
        planned = Cron(expression, ZONE).next_after(fired)
        assert planned is not None
    with rules(a_tree(folder / "new", new)):
        plan = Cron(expression, ZONE)
        first = plan.next_after(rezoned.meant(plan, fired, planned))
        assert first is not None
        second = plan.next_after(first)
        assert second is not None
    return [first, second]


@pytest.mark.parametrize(
    ("expression", "old", "new", "fired", "wanted"),
    [
        # Later by the new rules: the day has run, and the next one comes.
        ("0 3 * * *", 2, 1, at("1:00"), [at("2:00", 1), at("2:00", 2)]),
        # Earlier by the new ones: likewise.
        ("0 3 * * *", 2, 3, at("1:00"), [at("0:00", 1), at("0:00", 2)]),
        # Of several on a day each comes once, those too that lie in the past by now.
        ("0 2,3 * * *", 2, 1, at("0:00"), [at("2:00"), at("1:00", 1)]),
        ("0 2,3 * * *", 2, 1, at("1:00"), [at("1:00", 1), at("2:00", 1)]),
        ("*/15 3 * * *", 2, 3, at("1:30"), [at("0:45"), at("0:00", 1)]),
        ("0 2,4 * * *", 2, 1, at("0:00"), [at("3:00"), at("1:00", 1)]),
        ("0 2,4 * * *", 2, 1, at("2:00"), [at("1:00", 1), at("3:00", 1)]),
        # A rhythm goes on.
        ("*/15 * * * *", 2, 1, at("1:30"), [at("1:45"), at("2:00")]),
        ("7 * * * *", 2, 3, at("1:07"), [at("2:07"), at("3:07")]),
        # Nothing that is named lies near: as it was.
        ("0 3 * * *", 12, -2, at("15:00"), [at("5:00", 1), at("5:00", 2)]),
    ],
)
def test_what_was_fired_is_not_fired_again_and_nothing_is_left_out(
    tmp_path: pathlib.Path,
    expression: str,
    old: float,
    new: float,
    fired: datetime.datetime,
    wanted: list[datetime.datetime],
) -> None:
    assert following(tmp_path, expression, old, new, fired) == wanted


def test_rules_that_have_not_changed_by_then_change_nothing(tmp_path: pathlib.Path) -> None:
    with rules(a_tree(tmp_path, 2, (at("12:00"), 1))):
        plan = Cron("0 3 * * *", ZONE)
        assert rezoned.meant(plan, at("1:00"), at("1:00", 1)) == at("1:00")
        assert rezoned.meant(plan, at("1:00"), at("2:00", 1)) == at("1:00")
    assert rezoned.meant(Interval(60), at("1:00"), at("1:01")) == at("1:00")


@pytest.mark.parametrize("missing", ["shift", "skip"])
def test_a_time_that_is_left_out_by_the_new_rules_is_accounted_for(tmp_path: pathlib.Path, missing: Missing) -> None:
    """By the new ones clocks went from 02:00 to 03:00 on the day whose 02:30 has been fired."""
    with rules(a_tree(tmp_path, 1, (at("1:00", 1), 2))):
        plan = Cron("30 2 * * *", ZONE, missing)
        accounted = rezoned.meant(plan, at("23:30"), at("23:30", 1))
        assert plan.next_after(accounted) == at("0:30", 2)
