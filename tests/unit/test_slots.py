"""What becomes of planned instants: decided from policies, from where the schedule stands, and from the time."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest

from service.domain import errors, policies, slots
from service.domain.policies import Misfire, Overlap
from service.domain.slots import Outcome, Reason, Standing
from service.plans import At, Interval
from service.plans.jitter import jittered

NOON = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
SECOND = datetime.timedelta(seconds=1)

Told = list[tuple[float, str, str | None, int]]


def decide(policy: policies.Policy, standing: Standing, now: datetime.datetime, plan: Any = None) -> slots.Decision:
    """The decision about a schedule of every minute."""
    return slots.decide(slots.Course("s", plan or Interval(60), policy, jittered), policy, standing, now)


def told(decision: slots.Decision) -> Told:
    """(minutes from noon, outcome, reason, missed) of each slot."""
    return [((s.due_at - NOON) / MINUTE, s.outcome, s.reason, s.missed) for s in decision.slots]


def test_an_instant_is_fired_and_the_next_one_waited_for() -> None:
    found = decide(policies.Policy(), Standing(NOON, runs=3), NOON + SECOND)
    assert told(found) == [(0, Outcome.FIRED, None, 0)]
    assert (found.standing.planned, found.wake_at, found.standing.runs) == (NOON + MINUTE, NOON + MINUTE, 4)


def test_before_its_instant_nothing_happens() -> None:
    found = decide(policies.Policy(), Standing(NOON + MINUTE), NOON)
    assert (found.slots, found.wake_at) == ((), NOON + MINUTE)


@pytest.mark.parametrize(
    ("misfire", "window", "minutes", "wanted"),
    [
        (Misfire.LAST, None, 180.5, [(180, Outcome.FIRED, None, 180)]),
        (Misfire.LAST, 10, 180.5, [(180, Outcome.SKIPPED, Reason.MISFIRE, 180)]),
        (Misfire.SKIP, None, 180.5, [(180, Outcome.FIRED, None, 180)]),
        (Misfire.SKIP, 29, 180.5, [(180, Outcome.SKIPPED, Reason.MISFIRE, 180)]),
        (Misfire.ALL, 30, 2.5, [(1, Outcome.SKIPPED, Reason.MISFIRE, 1), (2, Outcome.FIRED, None, 0)]),
        (Misfire.ALL, 90, 2.5, [
            (0, Outcome.SKIPPED, Reason.MISFIRE, 0), (1, Outcome.CAUGHT_UP, None, 0), (2, Outcome.FIRED, None, 0),
        ]),
        (Misfire.ALL, None, 2.5, [
            (0, Outcome.CAUGHT_UP, None, 0), (1, Outcome.CAUGHT_UP, None, 0), (2, Outcome.FIRED, None, 0),
        ]),
    ],
)  # fmt: skip
def test_what_no_clock_could_fire_in_time(misfire: Misfire, window: float | None, minutes: float, wanted: Told) -> None:
    found = decide(policies.Policy(misfire, window), Standing(NOON), NOON + minutes * MINUTE)
    assert told(found) == wanted
    assert found.standing.planned == NOON + (int(minutes) + 1) * MINUTE


def test_the_last_instant_of_a_day_without_clocks_is_caught_up() -> None:
    found = decide(policies.Policy(), Standing(NOON), NOON + 5 * MINUTE, At(NOON))
    assert told(found) == [(0, Outcome.CAUGHT_UP, None, 0)]
    assert (found.standing.planned, found.wake_at) == (None, None)


def test_many_are_caught_up_in_turns() -> None:
    policy = policies.Policy(Misfire.ALL, 86_400)
    first = decide(policy, Standing(NOON), NOON + 1200 * MINUTE)
    assert (len(first.slots), first.standing.planned) == (slots.MOST, NOON + slots.MOST * MINUTE)
    assert first.wake_at == NOON + 1200 * MINUTE, "behind what else is due"
    rest = decide(policy, first.standing, NOON + 1200 * MINUTE)
    assert (len(rest.slots), rest.standing.planned) == (1201 - slots.MOST, NOON + 1201 * MINUTE)


@pytest.mark.parametrize(
    ("overlap", "held", "wanted", "cancel"),
    [
        (Overlap.ALLOW, None, [(0, Outcome.FIRED, None, 0)], False),
        (Overlap.SKIP, None, [(0, Outcome.SKIPPED, Reason.OVERLAP, 0)], False),
        (Overlap.QUEUE_ONE, None, [(0, Outcome.HELD, Reason.OVERLAP, 0)], False),
        (Overlap.QUEUE_ONE, NOON - MINUTE, [(0, Outcome.SKIPPED, Reason.OVERLAP, 0)], False),
        (Overlap.CANCEL_RUNNING, None, [(0, Outcome.FIRED, None, 0)], True),
    ],
)
def test_while_an_event_is_open(overlap: Overlap, held: datetime.datetime | None, wanted: Told, cancel: bool) -> None:
    found = decide(policies.Policy(overlap=overlap), Standing(NOON, held=held, open=1), NOON)
    assert (told(found), found.cancel_open) == (wanted, cancel)
    assert found.standing.held == (NOON if wanted[0][1] is Outcome.HELD else held)
    assert found.wake_at == NOON + MINUTE, "what is held is not asked for in vain"


def test_what_was_held_goes_when_nothing_is_open_and_what_is_due_then_waits_in_its_place() -> None:
    policy = policies.Policy(overlap=Overlap.QUEUE_ONE)
    found = decide(policy, Standing(NOON, held=NOON - MINUTE), NOON)
    assert told(found) == [(-1, Outcome.FIRED, Reason.OVERLAP, 0), (0, Outcome.HELD, Reason.OVERLAP, 0)]
    alone = decide(policy, Standing(None, held=NOON - MINUTE), NOON)
    assert (told(alone), alone.wake_at) == ([(-1, Outcome.FIRED, Reason.OVERLAP, 0)], None)


def test_what_would_expire_before_it_is_fired_is_skipped() -> None:
    policy = policies.Policy(expires_after=30)
    assert told(decide(policy, Standing(NOON), NOON + 30 * SECOND)) == [(0, Outcome.SKIPPED, Reason.EXPIRED, 0)]
    found = decide(policy, Standing(NOON), NOON + 29 * SECOND)
    assert found.slots[0].expires_at == NOON + 30 * SECOND
    held = decide(
        dataclass_with(policy, overlap=Overlap.QUEUE_ONE), Standing(NOON + MINUTE, held=NOON), NOON + MINUTE / 2
    )
    assert told(held) == [(0, Outcome.SKIPPED, Reason.EXPIRED, 0)]


def dataclass_with(policy: policies.Policy, **changes: Any) -> policies.Policy:
    return policies.read(policy.spec() | changes)


def test_it_ends_after_its_runs_and_after_its_end() -> None:
    found = decide(policies.Policy(max_runs=4), Standing(NOON, runs=3), NOON)
    assert (told(found), found.wake_at) == ([(0, Outcome.FIRED, None, 0)], None)
    found = decide(policies.Policy(ends_at=NOON + 90 * SECOND), Standing(NOON), NOON + 60 * MINUTE)
    assert (told(found), found.wake_at) == ([(1, Outcome.CAUGHT_UP, None, 1)], None)
    found = decide(policies.Policy(Misfire.ALL, max_runs=2), Standing(NOON), NOON + 5 * MINUTE)
    assert [row[:2] for row in told(found)] == [(0, Outcome.CAUGHT_UP), (1, Outcome.CAUGHT_UP)]


def test_a_run_that_expired_while_it_was_held_is_none() -> None:
    policy = policies.Policy(overlap=Overlap.QUEUE_ONE, max_runs=2, expires_after=60)
    held = decide(policy, Standing(NOON, runs=1, open=1), NOON)
    assert (told(held), held.wake_at) == ([(0, Outcome.HELD, Reason.OVERLAP, 0)], NOON + MINUTE)
    waits = decide(policy, dataclasses.replace(held.standing, open=1), NOON + MINUTE)
    assert told(waits) == [(1, Outcome.SKIPPED, Reason.OVERLAP, 0)]
    late = decide(policy, dataclasses.replace(waits.standing, open=0), NOON + 2 * MINUTE)
    assert told(late) == [(0, Outcome.SKIPPED, Reason.EXPIRED, 0), (2, Outcome.FIRED, None, 0)]
    assert (late.standing.runs, late.standing.planned, late.wake_at) == (2, None, None)


@pytest.mark.parametrize("overlap", [Overlap.ALLOW, Overlap.QUEUE_ONE, Overlap.CANCEL_RUNNING])
def test_the_last_run_is_the_one_that_is_held(overlap: Overlap) -> None:
    """Whatever its ``overlap`` has become since then."""
    policy = policies.Policy(overlap=overlap, max_runs=2)
    found = decide(policy, Standing(NOON + MINUTE, runs=2, held=NOON, open=1), NOON + MINUTE)
    assert told(found) == [(1, Outcome.SKIPPED, Reason.OVERLAP, 0)]
    assert not found.cancel_open
    last = decide(policy, dataclasses.replace(found.standing, open=0), NOON + 2 * MINUTE)
    assert told(last) == [(0, Outcome.FIRED, Reason.OVERLAP, 0)]
    assert (last.standing.runs, last.wake_at) == (2, None)


def test_jitter_delays_the_fire_and_never_the_slot() -> None:
    policy = policies.Policy(jitter=30.0)
    course = slots.Course("s", Interval(60), policy, jittered)
    due = course.fire_at(NOON)
    assert NOON < due <= NOON + 30 * SECOND
    early = decide(policy, Standing(NOON), due - slots.TICK)
    assert (early.slots, early.wake_at) == ((), due)
    found = decide(policy, Standing(NOON - 9 * MINUTE), due - slots.TICK)
    assert told(found) == [(-1, Outcome.FIRED, None, 8)]  # The one of noon is not due yet.
    assert (found.standing.planned, found.wake_at) == (NOON, due)
    assert told(decide(policy, Standing(NOON), due)) == [(0, Outcome.FIRED, None, 0)]


def test_a_pause_is_one_skipped_slot() -> None:
    course = slots.Course("s", Interval(60), policies.Policy(), jittered)
    found = slots.skip_due(course, Standing(NOON, runs=2), NOON + 10.5 * MINUTE, Reason.PAUSED)
    assert told(found) == [(10, Outcome.SKIPPED, Reason.PAUSED, 10)]
    assert (found.standing, found.wake_at) == (Standing(NOON + 11 * MINUTE, runs=2), NOON + 11 * MINUTE)
    assert slots.skip_due(course, Standing(NOON + MINUTE), NOON, Reason.PAUSED).slots == ()


@pytest.mark.parametrize(
    "document",
    [
        {}, {"misfire": "all", "misfire_window": "2h"}, {"overlap": "queue_one", "jitter": 1.5},
        {"starts_at": NOON, "ends_at": "2096-01-31T12:00:00+01:00", "max_runs": 3, "expires_after": 60},
    ],
)  # fmt: skip
def test_a_policy_is_read_from_what_it_says(document: dict[str, Any]) -> None:
    found = policies.read(document)
    assert policies.read(found.spec()) == found
    assert set(found.spec()) == set(document)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"misfire": "never"}, "one of skip, last, all is wanted"),
        ({"overlap": 1}, "one of allow, skip, queue_one, cancel_running is wanted"),
        ({"jitter": -1}, "0 to 366 days are wanted"),
        ({"jitter": float("nan")}, "seconds are wanted, or text like 30s"),
        ({"expires_after": "soon"}, "seconds are wanted, or text like 30s"),
        ({"expires_after": True}, "seconds are wanted, or text like 30s"),
        ({"max_runs": 1.5}, "a whole number is wanted"),
        ({"starts_at": datetime.datetime(2026, 1, 1)}, "with its zone is wanted"),
        ({"starts_at": NOON, "ends_at": NOON}, "it must lie after starts_at"),
        ({"retry": 1}, "there is no such policy; there are misfire"),
    ],
)
def test_what_is_wrong_with_a_policy_is_told_with_its_field(document: dict[str, Any], told: str) -> None:
    with pytest.raises(errors.InvalidSchedule) as caught:
        policies.read(document)
    [fault] = caught.value.faults
    assert fault.pointer == f"/{list(document)[-1]}"
    assert told in fault.detail
