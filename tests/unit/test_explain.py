"""Why an event is not running, decided from what was read of it."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest

from service.domain import explain
from service.domain.explain import Why
from service.domain.states import State

NOW = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)
BEFORE, SOON = NOW - datetime.timedelta(minutes=10), NOW + datetime.timedelta(minutes=10)

#: A pending event whose ticket is due at this moment, with everybody there who is needed.
DUE = explain.Record(
    id="019a0000-0000-7000-8000-000000000000", type="a.b", state=State.PENDING, attempt=0, now=NOW, accepted_at=BEFORE,
    queue="events", due_at=NOW, workers=1, knowing=1, clocks=1,
)  # fmt: skip
OUT = {"published_at": BEFORE, "due_at": SOON}
PAUSED = {"type_paused_at": BEFORE, "type_paused_by": "ann", "type_paused_because": "OPS-7"}


def said(**changes: Any) -> explain.Explanation:
    return explain.explain(dataclasses.replace(DUE, **changes), broker=True, window=100)


@pytest.mark.parametrize(
    ("changes", "why", "expected", "words"),
    [
        ({}, Why.PUBLISHING, NOW, "about to be published to the queue events, with none ahead"),
        ({"workers": 0, "knowing": 0}, Why.NO_WORKER, None, "celery -A workers worker -Q events"),
        ({"knowing": 0}, Why.NO_WORKER, None, "None of the 1 workers on its queue events has a handler for a.b"),
        ({"clocks": 0, "due_at": BEFORE}, Why.NO_CLOCK, None, "there is no clock"),
        ({"clocks": 0}, Why.PUBLISHING, NOW, "about to be published"),  # The web that took it publishes it.
        ({"out_events": 100, "due_at": BEFORE}, Why.HELD_BACK, NOW, "100 events with the broker, of 100"),
        ({"run_at": SOON, "due_at": SOON}, Why.SCHEDULED, SOON, "due at 2026-01-31 12:10:00 UTC."),
        ({"run_at": SOON, "due_at": SOON} | PAUSED, Why.SCHEDULED, None, "UTC. Its type a.b was paused"),
        ({"run_at": SOON, "attempt": 3, "error": "Boom"}, Why.BACKING_OFF, SOON, "Attempt 3 failed (Boom); the next"),
        (PAUSED, Why.TYPE_PAUSED, None, "Its type a.b was paused at 2026-01-31 11:50:00 UTC by ann: OPS-7."),
        ({"queue_paused_at": BEFORE}, Why.QUEUE_PAUSED, None, "Its queue events was paused"),
        ({"returns": 2, "due_at": SOON}, Why.PUBLISHING, SOON, "came back 2 times"),
        ({"queue": None}, Why.NO_TICKET, None, "a fault of Millrace's"),
        ({"locked_since": BEFORE}, Why.BEING_WORKED, BEFORE, "in hand since 2026-01-31 11:50:00"),
        (OUT, Why.QUEUED, NOW, "in the queue events since 2026-01-31 11:50:00 UTC, with none ahead of it"),
        (OUT | PAUSED, Why.QUEUED, NOW, "in the queue"),  # What is out is worked all the same.
        (OUT | {"workers": 0}, Why.NO_WORKER, None, "No live worker takes from its queue events"),
        (OUT | {"ahead_tickets": 1, "ahead_events": 1}, Why.QUEUED, None, "behind 1 other event."),
        (OUT | {"ahead_tickets": 9, "ahead_events": 600, "rate": 1.0}, Why.QUEUED, SOON, "behind 600 other events."),
        (OUT | {"ahead_tickets": 10_000, "ahead_events": 10_000, "rate": 1.0}, Why.QUEUED, None, "more than 10000"),
        ({"state": State.RUNNING, "attempt": 1, "holder": "h:7", "held_since": BEFORE, "lease_until": SOON},
         Why.RUNNING, BEFORE, "runs by h:7 since 2026-01-31 11:50:00 UTC (attempt 1)."),
        ({"state": State.RUNNING, "lease_until": SOON, "cancel_at": BEFORE}, Why.RUNNING, None, "asked to stop"),
        ({"state": State.RUNNING, "lease_until": BEFORE}, Why.LEASE_ENDED, None, "takes it over"),
        ({"state": State.SUCCEEDED, "attempt": 1, "finished_at": NOW}, Why.SUCCEEDED, None, "in attempt 1"),
        ({"state": State.DEAD, "finished_at": NOW, "dead_reason": "attempts", "error": "Boom"}, Why.DEAD, None,
         "dead letter since 2026-01-31 12:00:00 UTC: attempts used up (Boom). It can be replayed."),
        ({"state": State.DEAD, "replayed_as": "019b"}, Why.DEAD, None, "replayed as 019b"),
        ({"state": State.DEAD, "discarded_at": NOW, "discarded_by": "ann", "discarded_because": "test data"},
         Why.DEAD, None, "It was discarded at 2026-01-31 12:00:00 UTC by ann: test data."),
        ({"state": State.CANCELLED, "finished_at": NOW}, Why.CANCELLED, None, "cancelled at 2026"),
        ({"state": State.EXPIRED, "finished_at": NOW}, Why.EXPIRED, None, "before its expires_at"),
    ],
)  # fmt: skip
def test_each_reason_has_its_word_its_sentence_and_its_instant(
    changes: dict[str, Any], why: Why, expected: datetime.datetime | None, words: str
) -> None:
    found = said(**changes)
    assert (found.reason, found.expected_at) == (why, expected)
    assert words in found.sentence


def test_a_broker_that_is_away_is_told_by_who_knows_it() -> None:
    assert explain.explain(DUE, broker=False, window=100).reason is Why.BROKER_AWAY
    assert explain.explain(DUE, broker=None, window=100).reason is Why.PUBLISHING


def test_who_paused_is_among_the_facts_of_a_scheduled_event_too() -> None:
    assert said(run_at=SOON, **PAUSED).facts["type_paused"] == {"at": BEFORE, "by": "ann", "because": "OPS-7"}
