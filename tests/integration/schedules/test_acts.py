"""Pause, run now and backfill, and what history says of them."""

from __future__ import annotations

import datetime

import pytest
from flask.testing import FlaskClient

from tests.answers import problem
from tests.integration.schedules.desk import PLACE, Clock, back, create, history, slots
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


def test_instants_in_a_pause_are_one_skipped_slot_whatever_the_misfire_policy(
    client: FlaskClient, ledger: Ledger, clock: Clock
) -> None:
    create(client, misfire="all")
    back(ledger, 60)
    paused = client.post(f"{PLACE}/s/pause").get_json()
    assert (paused["state"], paused["paused_by"]) == ("paused", "ada")
    assert slots(ledger) == [("fired", None, 0)]  # It was due before the pause.
    assert clock.slots.next_in() is None
    ledger.sql("update millrace.schedules set planned = planned - interval '10 min'")
    ledger.sql("delete from millrace.slots")
    assert client.post(f"{PLACE}/s/resume").get_json()["state"] == "active"
    assert slots(ledger) == [("skipped", "paused", 9)]
    wait = clock.slots.next_in()
    assert wait is not None
    assert 0 < wait <= 60
    assert client.post(f"{PLACE}/s/resume").get_json()["state"] == "active"


def test_run_now_is_an_event_at_once_and_changes_no_plan(client: FlaskClient, ledger: Ledger, clock: Clock) -> None:
    create(client)
    before = client.get(f"{PLACE}/s").get_json()["next_due"]
    answer = client.post(f"{PLACE}/s/run")
    assert answer.status_code == 202
    event = client.get(answer.headers["Location"]).get_json()
    assert (event["type"], event["schedule"]) == ("a.tick", "s")
    assert client.get(f"{PLACE}/s").get_json()["next_due"] == before
    [slot] = history(client)
    assert (slot["outcome"], slot["by"], slot["event_id"]) == ("run_now", "ada", answer.get_json()["id"])


def test_a_backfill_makes_events_of_past_instants_once(client: FlaskClient, ledger: Ledger, clock: Clock) -> None:
    create(client, plan={"every": 3600}, misfire="skip")
    interval = "since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z"
    dry = client.post(f"{PLACE}/s/backfill?{interval}&dry_run=1")
    assert (dry.status_code, dry.get_json()["instants"], dry.get_json()["backfilled"]) == (200, 24, 24)
    assert ledger.sql("select count(*) from millrace.slots") == [(0,)]
    some = client.post(f"{PLACE}/s/backfill?{interval}&limit=10")
    assert some.status_code == 202
    assert (some.get_json()["backfilled"], some.get_json()["more"]) == (10, True)
    assert some.get_json()["last"] == "2026-01-01T09:00:00Z"
    rest = client.post(f"{PLACE}/s/backfill?{interval}").get_json()
    assert (rest["present"], rest["backfilled"], rest["more"]) == (10, 14, False)
    assert client.post(f"{PLACE}/s/backfill?{interval}").status_code == 200
    found = ledger.sql("select count(*), count(distinct slot_at), min(slot_at) from millrace.events")
    assert found == [(24, 24, datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))]
    assert slots(ledger) == [("backfilled", None, 0)] * 24
    problem(client.post(f"{PLACE}/s/backfill?since=2026-01-01T00:00:00Z"), 422)
    problem(client.post(f"{PLACE}/s/backfill?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z"), 422)
    future = client.post(f"{PLACE}/s/backfill?since=2090-01-01T00:00:00Z&until=2096-01-01T00:00:00Z").get_json()
    assert future["instants"] == 0


def test_a_skipped_instant_can_be_filled(client: FlaskClient, ledger: Ledger, clock: Clock) -> None:
    create(client, plan={"every": 86_400}, expires_after=1)
    back(ledger, 86_400)
    assert clock.fire() == [("s", "skipped", "expired")]
    [slot] = history(client)
    done = client.post(f"{PLACE}/s/backfill?since={slot['due_at']}&until=2096-01-01T00:00:00Z").get_json()
    assert done["backfilled"] == 1
    assert slots(ledger) == [("backfilled", None, 0)]
