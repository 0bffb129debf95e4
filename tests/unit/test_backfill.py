"""Which slot has a planned instant in its ``missed``, before a backfill makes a slot of it."""

from __future__ import annotations

import datetime

from service.domain.backfill import Known, counted
from service.domain.slots import Outcome

NOON = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)


def minute(number: int) -> datetime.datetime:
    return NOON + datetime.timedelta(minutes=number)


def found(last: int, *known: tuple[int, Outcome, int], following: Known | None = None) -> dict[int, int]:
    """Minutes after noon, each with the one of the slot that counts it."""
    slots = [Known(minute(n), outcome, missed) for n, outcome, missed in known]
    pairs = counted([minute(n) for n in range(last + 1)], slots, following)
    one = datetime.timedelta(minutes=1)
    return {(a - NOON) // one: (b - NOON) // one for a, b in sorted(pairs.items())}


def test_the_nearest_instants_before_a_slot_are_its_missed_ones() -> None:
    assert found(5, (5, Outcome.FIRED, 2)) == {3: 5, 4: 5}
    assert found(5, (2, Outcome.SKIPPED, 2), (5, Outcome.FIRED, 2)) == {0: 2, 1: 2, 3: 5, 4: 5}


def test_what_lies_before_the_schedule_was_made_is_counted_nowhere() -> None:
    assert found(5, (3, Outcome.FIRED, 0), (4, Outcome.FIRED, 0)) == {}


def test_what_was_filled_before_is_passed_by() -> None:
    assert found(5, (3, Outcome.BACKFILLED, 0), (5, Outcome.CAUGHT_UP, 2)) == {2: 5, 4: 5}


def test_a_skipped_slot_that_was_filled_goes_on_counting() -> None:
    assert found(5, (4, Outcome.BACKFILLED, 2)) == {2: 4, 3: 4}


def test_an_event_that_was_run_at_once_counts_nothing() -> None:
    slots = [Known(minute(2) + datetime.timedelta(seconds=7), Outcome.RUN_NOW, 0), Known(minute(5), Outcome.FIRED, 4)]
    assert len(counted([minute(n) for n in range(6)], slots)) == 4


def test_a_slot_behind_the_interval_counts_what_is_left_of_its_missed() -> None:
    assert found(5, following=Known(minute(9), Outcome.FIRED, 2)) == {4: 9, 5: 9}


def test_a_slot_of_another_plan_counts_none_of_this_one() -> None:
    alien = Known(minute(3) + datetime.timedelta(seconds=30), Outcome.FIRED, 3)
    assert counted([minute(n) for n in range(6)], [alien]) == {}
