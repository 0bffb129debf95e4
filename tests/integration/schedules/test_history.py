"""What becomes of each instant: fired, caught up, skipped, jittered, ended."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from service.domain.ticket import Delivery
from service.ledger import replan
from tests.answers import problem
from tests.integration.schedules.desk import PLACE, Clock, back, create, history, minutely, slots
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


def test_history_tells_what_became_of_each_instant(client: FlaskClient, ledger: Ledger, clock: Clock) -> None:
    create(client, payload={"n": 1})
    back(ledger, 60)
    assert clock.fire() == [("s", "fired", None)]
    [slot] = history(client)
    assert (slot["outcome"], slot["by"], slot["event_state"]) == ("fired", "clock", "pending")
    assert 0 <= slot["late"] <= 60
    event = client.get(slot["links"]["event"]).get_json()
    assert (event["schedule"], event["slot_at"], event["payload"]) == ("s", slot["due_at"], {"n": 1})
    client.post(f"{PLACE}/s/run")
    page = client.get(f"{PLACE}/s/slots?limit=1").get_json()
    assert [s["outcome"] for s in page["slots"]] == ["run_now"]
    rest = client.get(f"{PLACE}/s/slots?limit=1&cursor={page['next_cursor']}").get_json()
    assert ([s["outcome"] for s in rest["slots"]], rest["next_cursor"]) == (["fired"], None)
    assert client.get(f"{PLACE}/s/slots?outcome=skipped").get_json()["slots"] == []
    client.delete(f"{PLACE}/s")
    assert len(history(client)) == 2  # History stays.
    problem(client.get(f"{PLACE}/never/slots"), 404)


def test_each_schedule_says_when_it_last_succeeded_and_why_it_cannot_be_fired(
    client: FlaskClient, ledger: Ledger, clock: Clock
) -> None:
    for name in ("s", "t"):
        create(client, name)
    client.post(f"{PLACE}/s/run")
    assert client.get(f"{PLACE}/s").get_json()["last_success"] is None
    ledger.work()
    client.post(f"{PLACE}/s/run")  # Not worked.
    ledger.sql("update millrace.schedules set error = 'OverflowError: too far' where name = 't'")
    [(at,)] = ledger.sql("select finished_at from millrace.events where state = 'succeeded'")
    one, other = client.get(PLACE).get_json()["schedules"]
    assert (datetime.datetime.fromisoformat(one["last_success"]), one["error"]) == (at, None)
    assert (other["last_success"], other["error"]) == (None, "OverflowError: too far")


def test_ticks_of_one_type_ride_together_as_its_bundle_allows(
    client: FlaskClient, ledger: Ledger, clock: Clock
) -> None:
    for number in range(25):
        create(client, f"s{number}")
    for number in range(3):
        create(client, f"alone{number}", type="a.alone")
    ledger.sql("update millrace.schedules set next_due = next_due - interval '1 min'")
    assert len(clock.fire()) == 28
    found = ledger.sql("select type, cardinality(event_ids), routing_key from millrace.tickets order by 1, 2")
    assert [row[:2] for row in found] == [("a.alone", 1)] * 3 + [("a.tick", 5), ("a.tick", 10), ("a.tick", 10)]
    assert {row[2] for row in found} == {"tick.alone0", "tick.alone1", "tick.alone2", "tick.a.tick"}


@pytest.mark.parametrize(
    ("policy", "events", "skipped"),
    [({}, 1, 0), ({"misfire_window": "2h"}, 1, 0), ({"misfire": "skip"}, 1, 0), ({"misfire": "all"}, 60, 1)],
)
def test_after_an_outage_of_hours_each_instant_is_accounted_for(
    client: FlaskClient, ledger: Ledger, clock: Clock, policy: dict[str, Any], events: int, skipped: int
) -> None:
    create(client, **policy)
    back(ledger, 3 * 3600 + 60)
    clock.fire()
    found = slots(ledger)
    assert sum(1 + missed for _, _, missed in found) in (181, 182)  # A minute may begin meanwhile.
    assert len([row for row in found if row[0] == "skipped"]) == skipped
    assert len(found) - skipped in (events, events + 1)
    assert ledger.sql("select count(*) from millrace.events") == [(len(found) - skipped,)]


def test_a_tick_that_would_expire_before_it_is_fired_is_skipped_and_others_expire(
    client: FlaskClient, ledger: Ledger, clock: Clock
) -> None:
    plan = minutely() | {"every": 3600}
    create(client, plan=plan, expires_after=1)
    create(client, "t", plan=plan, expires_after="2h")
    ledger.sql("update millrace.schedules set next_due = next_due - interval '1 hour'")
    assert sorted(clock.fire()) == [("s", "skipped", "expired"), ("t", "fired", None)]
    [(seconds,)] = ledger.sql("select extract(epoch from expires_at - slot_at)::int from millrace.events")
    assert seconds == 7200


def test_a_schedule_ends_after_so_many_runs_and_at_its_end(client: FlaskClient, ledger: Ledger, clock: Clock) -> None:
    create(client, max_runs=2)
    for _ in range(3):
        back(ledger, 60)
        clock.fire()
        ledger.sql("delete from millrace.slots")
    assert client.get(f"{PLACE}/s").get_json()["state"] == "finished"
    assert ledger.sql("select count(*) from millrace.events") == [(2,)]
    assert create(client, "t", ends_at="2020-01-01T00:00:00Z")["state"] == "finished"
    later = create(client, "u", plan={"every": 60}, starts_at="2096-01-01T00:00:30Z")
    assert later["next_slot"] == "2096-01-01T00:01:00Z"
    once = create(client, "v", plan={"at": "2096-01-01T00:00:00Z"})
    assert once["next_slot"] == "2096-01-01T00:00:00Z"


def test_jitter_delays_each_slot_and_keeps_its_instant(client: FlaskClient, ledger: Ledger, clock: Clock) -> None:
    found = create(client, plan={"every": 86_400}, jitter="1h")
    due, slot = (datetime.datetime.fromisoformat(found[n]) for n in ("next_due", "next_slot"))
    assert slot.timestamp() % 86_400 == 0
    assert 0 < (due - slot).total_seconds() <= 3600
    back(ledger, 86_400)
    ledger.sql("update millrace.schedules set next_due = now()")  # The jitter of another instant is another one.
    fired = clock.fire()
    late = ledger.sql("select due_at, late from millrace.slots")
    if fired:  # Not in the first hour of a day, while it is not due yet.
        assert late[0][0] == slot - datetime.timedelta(days=1)


@pytest.mark.fault(50)
def test_after_a_new_tz_database_what_was_planned_by_the_old_one_is_planned_anew(
    client: FlaskClient, ledger: Ledger
) -> None:
    for name, jitter in (("plain", 0), ("jittered", 600)):
        create(client, name, plan={"cron": "0 3 * * *", "tz": "Europe/Berlin"}, jitter=jitter)
    create(client, "paused", plan={"cron": "0 3 * * *", "tz": "Europe/Berlin"})
    client.post(f"{PLACE}/paused/pause")
    rows = "select name, next_due, planned from millrace.schedules order by name"
    right = ledger.sql(rows)
    hour = "interval '1 hour'"
    ledger.sql(
        f"update millrace.schedules set next_due = next_due + {hour}, planned = planned + {hour} where name <> 'paused'"
    )
    assert replan.replan(ledger.engine) == 2
    assert ledger.sql(rows) == right
    assert replan.replan(ledger.engine) == 0


def test_a_ticket_of_ticks_is_worked_like_any_other(client: FlaskClient, ledger: Ledger, clock: Clock) -> None:
    for number in range(3):
        create(client, f"s{number}")
    ledger.sql("update millrace.schedules set next_due = next_due - interval '1 min'")
    clock.fire()
    [ticket] = ledger.tickets()
    assert isinstance(ticket, Delivery)
    assert len(ticket.event_ids) == 3
    ledger.work()
    assert ledger.states() == {"succeeded": 3}
