"""Clocks with different rules of a time zone take a schedule in turns: each day runs once, whoever planned it."""

from __future__ import annotations

import datetime
import itertools
import pathlib
from typing import Any

import pytest

from service import plans
from service.domain import policies, slots
from service.ledger import courses
from service.plans import At, Cron
from tests.zones import ZONE, a_tree, rules

HOUR, DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)
BEGIN = datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC)
DAYS = 4


def take(
    plan: dict[str, Any], policy: policies.Policy, planned: datetime.datetime | None, late: datetime.timedelta
) -> tuple[list[slots.Slot], datetime.datetime | None]:
    """What a clock does that takes a schedule ``late`` after its planned instant: its slots, and what it plans next."""
    assert planned is not None
    due = courses.Due("s", "a.tick", plans.read(plan), policy, slots.Standing(planned))
    decision = slots.decide(due.course, policy, due.standing, planned + late)
    return list(decision.slots), decision.standing.planned


@pytest.mark.parametrize("misfire", policies.Misfire)
@pytest.mark.parametrize("late", [datetime.timedelta(), 1.5 * HOUR])
@pytest.mark.parametrize("shift", [-1, 1, 0.5, -3])
def test_each_day_runs_once_whoever_takes_it(
    tmp_path: pathlib.Path, shift: float, late: datetime.timedelta, misfire: policies.Misfire
) -> None:
    plan, policy = {"cron": "0 9 * * *", "tz": ZONE}, policies.Policy(misfire, misfire_window=7200.0)
    trees = {"old": a_tree(tmp_path / "old", 2), "new": a_tree(tmp_path / "new", 2 + shift)}
    for turns in itertools.product(trees, repeat=DAYS):
        with rules(trees["old"]):
            planned = plans.read(plan).next_after(BEGIN)
        fired: list[slots.Slot] = []
        for who in turns:
            with rules(trees[who]):
                found, planned = take(plan, policy, planned, late)
                fired += found
        days = [slot.due_at.date() for slot in fired if slot.is_event]
        assert days == [(BEGIN + n * DAY).date() for n in range(DAYS)], f"{turns}: {fired}"
        assert sum(slot.missed for slot in fired) == 0, "nothing was missed"


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_single_instant_is_fired_once(tmp_path: pathlib.Path, shift: float) -> None:
    with rules(a_tree(tmp_path / "old", 2)):
        plan = At((BEGIN + DAY).replace(tzinfo=None), ZONE).spec()
        planned = plans.read(plan).next_after(BEGIN)
    with rules(a_tree(tmp_path / "new", 2 + shift)):
        found, following = take(plan, policies.Policy(), planned, datetime.timedelta())
    assert ([slot.due_at for slot in found], following) == ([planned], None)


def test_a_pause_ends_behind_the_day_that_it_left_out(tmp_path: pathlib.Path) -> None:
    with rules(a_tree(tmp_path / "new", 1)):  # The other one planned 07:00 UTC, by an offset of two hours.
        plan = Cron("0 9 * * *", ZONE)
        due = courses.Due("s", "a.tick", plan, policies.Policy(), slots.Standing(BEGIN + 7 * HOUR))
        found = slots.skip_due(due.course, due.standing, BEGIN + 7.5 * HOUR, slots.Reason.PAUSED)
    assert found.standing.planned == BEGIN + DAY + 8 * HOUR
