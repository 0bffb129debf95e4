"""An instant that is due while the event of the one before is still open."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from service.ledger import firing
from tests.integration.schedules.desk import PLACE, Clock, create, slots
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


def step(ledger: Ledger, number: int) -> None:
    """Have the schedule stand at its instant of so many hours ago, and at no other."""
    ledger.sql(
        "update millrace.schedules set planned = case when held is null then null"
        " else date_trunc('hour', now()) - make_interval(hours => %s) end,"
        " next_due = date_trunc('hour', now()) - make_interval(hours => %s)",
        number, number,
    )  # fmt: skip


@pytest.fixture
def at_hours(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Any:
    """Fires the instant of so many hours ago, as if it were just due."""

    def fire(number: int) -> list[tuple[str, str, str | None]]:
        step(ledger, number)
        decide = firing.slots.decide
        with monkeypatch.context() as patch:
            patch.setattr(firing.slots, "decide", lambda c, p, s, now, most: decide(c, p, s, s.planned, most))
            return clock.fire()

    return fire


def test_while_an_event_is_open_the_next_is_skipped(client: FlaskClient, ledger: Ledger, at_hours: Any) -> None:
    create(client, plan={"every": 3600}, overlap="skip")
    assert at_hours(5) == [("s", "fired", None)]
    assert at_hours(4) == [("s", "skipped", "overlap")]
    ledger.work()
    assert at_hours(3) == [("s", "fired", None)]
    assert at_hours(2) == [("s", "skipped", "overlap")]


def test_one_instant_waits_for_the_open_event_and_more_are_skipped(
    client: FlaskClient, ledger: Ledger, clock: Clock, at_hours: Any
) -> None:
    create(client, plan={"every": 3600}, overlap="queue_one")
    assert at_hours(5) == [("s", "fired", None)]
    assert at_hours(4) == [("s", "held", "overlap")]
    assert at_hours(3) == [("s", "skipped", "overlap")]
    wait = clock.slots.next_in()
    assert wait is not None
    assert wait < 1
    ledger.work()
    ledger.sql("update millrace.schedules set planned = now() + interval '1 hour', next_due = now()")
    assert clock.fire() == [("s", "fired", "overlap")]
    assert [row[:2] for row in slots(ledger)] == [("fired", None), ("fired", "overlap"), ("skipped", "overlap")]
    assert ledger.states() == {"succeeded": 1, "pending": 1}


def test_the_open_event_is_cancelled_or_asked_to_stop(client: FlaskClient, ledger: Ledger, at_hours: Any) -> None:
    create(client, plan={"every": 3600}, overlap="cancel_running")
    assert at_hours(5) == [("s", "fired", None)]
    assert at_hours(4) == [("s", "fired", None)]
    assert ledger.states() == {"cancelled": 1, "pending": 1}
    ledger.check()
    ledger.sql("update millrace.events set state = 'running' where state = 'pending'")
    assert at_hours(3) == [("s", "fired", None)]
    assert ledger.sql("select state, cancel_at is not null from millrace.events order by slot_at") == [
        ("cancelled", False), ("running", True), ("pending", False),
    ]  # fmt: skip


def test_an_event_that_was_run_at_once_is_an_open_event_too(client: FlaskClient, ledger: Ledger, at_hours: Any) -> None:
    create(client, plan={"every": 3600}, overlap="skip")
    client.post(f"{PLACE}/s/run")
    assert at_hours(0) == [("s", "skipped", "overlap")]
