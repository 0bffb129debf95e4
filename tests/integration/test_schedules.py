"""Schedules at run time, over HTTP: made, changed, paused, run and filled; policies, and edits around a due instant."""

from __future__ import annotations

import concurrent.futures
import datetime
import itertools
import json
import random
import threading
from collections.abc import Iterator
from typing import Any

import pydantic
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service import bootstrap, web
from service.domain import errors, schedules
from service.domain.ticket import Delivery
from service.ledger import engine as engines
from service.ledger import firing, replan
from service.ledger.declared import Declarations
from service.ledger.slots import SlotLedger
from service.plans import Interval
from service.settings import Settings
from tests.ledgers import Ledger
from workers import face

pytestmark = pytest.mark.postgres

PLACE = "/v1/schedules"


class Report(pydantic.BaseModel):
    day: int


class Road:
    """A door on a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self.settings = Settings.model_construct(database_url=ledger.url)
        self.registry, self.intake, self.publisher = ledger.registry, ledger.intake, ledger.publisher
        self.operations = bootstrap.operations(self.settings, engines.Engine(ledger.url, size=8), ledger.registry)
        self.queries = self.operations.queries


class Clock:
    """What a clock does about slots, without its threads."""

    def __init__(self, ledger: Ledger, *declared: schedules.Schedule, name: str = "clock") -> None:
        calendar = schedules.Calendar()
        for one in declared:
            calendar.add(one)
        engine, bundle = engines.Engine(ledger.url), bootstrap.bundle_of(ledger.registry)
        self.declarations = Declarations(engine, calendar, clock=name, bundle=bundle)
        self.slots = SlotLedger(engine, self.declarations.calendar, clock=name, bundle=bundle)

    def fire(self) -> list[tuple[str, str, str | None]]:
        """A look: (schedule, outcome, reason) of each slot that it has settled."""
        return [(s.schedule, s.outcome, s.reason) for s in self.slots.fire_due(1000)[0]]


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    ledger = Ledger(database)
    ledger.handler("a.tick", print, bundle=10)
    ledger.handler("a.alone", print, bundle=1)
    ledger.handler("a.slow", print, bundle=1, queue="slow", detached=True)
    ledger.handler("a.report", print, bundle=1, payload=Report, parse=face.parser(Report))
    yield ledger
    ledger.check()


@pytest.fixture
def client(ledger: Ledger) -> FlaskClient:
    client = web.create_app(Road(ledger)).test_client()
    client.environ_base["HTTP_X_PRODUCER"] = "ada"
    return client


@pytest.fixture
def clock(ledger: Ledger) -> Clock:
    return Clock(ledger)


def problem(answer: TestResponse, status: int) -> dict[str, Any]:
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json"), answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def create(client: FlaskClient, name: str = "s", **members: Any) -> dict[str, Any]:
    document = {"name": name, "type": "a.tick", "plan": {"every": 60}} | members
    answer = client.post(PLACE, json=document)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def back(ledger: Ledger, seconds: float, name: str = "s") -> None:
    """As if the schedule had been waiting for its instant of so long ago: nobody was there to fire it."""
    ledger.sql(
        "update millrace.schedules set next_due = next_due - make_interval(secs => %s),"
        " planned = planned - make_interval(secs => %s) where name = %s",
        seconds, seconds, name,
    )  # fmt: skip


def slots(ledger: Ledger, name: str = "s") -> list[tuple[str, str | None, int]]:
    """(outcome, reason, missed) of its slots in order."""
    return ledger.sql("select outcome, reason, missed from millrace.slots where schedule = %s order by due_at", name)


def history(client: FlaskClient, name: str = "s") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"{PLACE}/{name}/slots").get_json()["slots"]
    return found


# --- making and changing ------------------------------------------------------------------------------------------


def test_a_schedule_is_made_shown_changed_and_deleted(client: FlaskClient, ledger: Ledger, clock: Clock) -> None:
    made = client.post(
        PLACE,
        json={
            "name": "nightly", "type": "a.tick", "plan": {"cron": "0 3 * * *", "tz": "Europe/Berlin"},
            "payload": {"n": 1}, "overlap": "skip", "jitter": "5m", "ends_at": "2096-01-01T00:00:00+01:00",
        },
    )  # fmt: skip
    assert (made.status_code, made.headers["Location"]) == (201, f"{PLACE}/nightly")
    found = made.get_json()
    assert (found["state"], found["origin"], found["payload"], found["revision"]) == ("active", "api", {"n": 1}, 1)
    assert (found["overlap"], found["jitter"], found["misfire"], found["max_runs"]) == ("skip", 300, "last", None)
    assert found["ends_at"] == "2095-12-31T23:00:00Z"
    shown = client.get(f"{PLACE}/nightly")
    assert (shown.get_json(), shown.headers["ETag"]) == (found, '"1"')

    changed = client.patch(
        f"{PLACE}/nightly", json={"plan": {"every": "1h"}, "jitter": None}, headers={"If-Match": '"1"'}
    )
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"2"')
    assert (changed.get_json()["plan"], changed.get_json()["jitter"]) == ({"every": 3600.0}, 0)
    assert (changed.get_json()["overlap"], changed.get_json()["payload"]) == ("skip", {"n": 1})
    wait = clock.slots.next_in()
    assert wait is not None
    assert 0 < wait <= 3600

    late = problem(client.patch(f"{PLACE}/nightly", json={}, headers={"If-Match": '"1"'}), 412)
    assert "its revision is 2" in late["detail"]
    problem(client.patch(f"{PLACE}/nightly", json={}), 428)
    assert client.patch(f"{PLACE}/nightly", json={}, headers={"If-Match": "*"}).status_code == 200
    problem(client.delete(f"{PLACE}/nightly", headers={"If-Match": '"1"'}), 412)
    assert client.delete(f"{PLACE}/nightly").status_code == 204
    problem(client.get(f"{PLACE}/nightly"), 404)
    assert clock.slots.next_in() is None


def test_what_is_wrong_with_a_schedule_is_told_member_by_member(client: FlaskClient) -> None:
    found = problem(
        client.post(
            PLACE,
            json={
                "name": "Nightly!", "type": "a.report", "payload": {"day": "x"}, "plan": {"cron": "0 3 * *"},
                "overlap": "never", "jitter": -1, "max_runs": 0, "starts_at": "tomorrow", "expires_after": "5 min",
                "colour": "red",
            },
        ),
        422,
    )  # fmt: skip
    assert {e["pointer"] for e in found["errors"]} == {
        "/name", "/payload/day", "/plan/cron", "/overlap", "/jitter", "/max_runs", "/starts_at", "/expires_after",
        "/colour",
    }  # fmt: skip
    assert all(e["detail"] for e in found["errors"])
    ends = {"starts_at": "2096-01-02T00:00:00Z", "ends_at": "2096-01-01T00:00:00Z"}
    plain = {"name": "s", "type": "a.tick", "plan": {"every": 60}}
    [fault] = problem(client.post(PLACE, json=plain | ends), 422)["errors"]
    assert fault["pointer"] == "/ends_at"
    assert {e["pointer"] for e in problem(client.post(PLACE, json={}), 422)["errors"]} == {"/name", "/type", "/plan"}
    [fault] = problem(client.post(PLACE, json=plain | {"type": "a.typo"}), 422)["errors"]
    assert "no handler" in fault["detail"]
    create(client)
    problem(client.post(PLACE, json=plain), 409)
    problem(client.patch(f"{PLACE}/s", json={"name": "t"}, headers={"If-Match": "*"}), 422)


def test_what_is_declared_in_code_is_changed_there_and_paused_and_run_like_any_other(
    client: FlaskClient, ledger: Ledger
) -> None:
    clock = Clock(ledger, schedules.Schedule("s", "a.tick", Interval(60)))
    clock.declarations.declare()
    problem(client.patch(f"{PLACE}/s", json={"overlap": "skip"}, headers={"If-Match": "*"}), 409)
    problem(client.delete(f"{PLACE}/s"), 409)
    assert client.post(f"{PLACE}/s/pause").get_json()["state"] == "paused"
    assert client.post(f"{PLACE}/s/resume").get_json()["state"] == "active"
    assert client.post(f"{PLACE}/s/run").status_code == 202


def test_a_list_pages_by_name_and_filters(client: FlaskClient, ledger: Ledger) -> None:
    for name in ("a", "b", "c"):
        create(client, name)
    client.post(f"{PLACE}/b/pause")
    first = client.get(f"{PLACE}?limit=2").get_json()
    rest = client.get(f"{PLACE}?limit=2&cursor={first['next_cursor']}").get_json()
    assert [s["name"] for s in first["schedules"] + rest["schedules"]] == ["a", "b", "c"]
    assert rest["next_cursor"] is None
    assert [s["name"] for s in client.get(f"{PLACE}?state=paused&origin=api").get_json()["schedules"]] == ["b"]
    assert problem(client.get(f"{PLACE}?state=open"), 422)["errors"][0]["parameter"] == "state"


def test_a_schedule_and_a_plan_are_previewed(client: FlaskClient) -> None:
    plan = {"cron": "30 2 * * *", "tz": "Europe/Berlin"}
    create(client, plan=plan, starts_at="2096-03-24T00:00:00Z", ends_at="2096-03-26T00:00:00Z")
    found = client.get(f"{PLACE}/s/preview?next=5").get_json()
    assert [i["utc"] for i in found["instants"]] == ["2096-03-24T01:30:00Z", "2096-03-25T01:00:00Z"]
    assert found["instants"][1]["why"]
    bare = client.post(f"{PLACE}/preview?next=2&after=2096-03-24T00:00:00Z", json=plan).get_json()
    assert bare["instants"] == found["instants"]
    year = client.get(f"{PLACE}/s/year?year=2096").get_json()
    assert (year["total"], len(year["days"])) == (366, 366)
    assert problem(client.post(f"{PLACE}/preview", json={"cron": "x"}), 422)["errors"][0]["pointer"] == "/plan/cron"
    problem(client.get(f"{PLACE}/s/preview?tz=Mars/Olympus"), 422)
    problem(client.get(f"{PLACE}/s/year"), 422)


# --- slots --------------------------------------------------------------------------------------------------------


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
    assert sum(1 + missed for _, _, missed in found) == 181
    assert len([row for row in found if row[0] == "skipped"]) == skipped
    assert len(found) - skipped in (events, events + 1)
    assert ledger.sql("select count(*) from millrace.events") == [(len(found) - skipped,)]


def test_a_tick_that_would_expire_before_it_is_fired_is_skipped_and_others_expire(
    client: FlaskClient, ledger: Ledger, clock: Clock
) -> None:
    create(client, plan={"every": 3600}, expires_after=1)
    create(client, "t", plan={"every": 3600}, expires_after="2h")
    ledger.sql("update millrace.schedules set next_due = next_due - interval '1 hour'")
    assert sorted(clock.fire()) in (
        [("s", "skipped", "expired"), ("t", "caught_up", None)],
        [("s", "skipped", "expired"), ("t", "fired", None)],
    )
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
    later = create(client, "u", starts_at="2096-01-01T00:00:30Z")
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


# --- overlap ------------------------------------------------------------------------------------------------------


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
            patch.setattr(firing.slots, "decide", lambda c, p, s, now: decide(c, p, s, s.planned))
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


# --- pause, run now, backfill -------------------------------------------------------------------------------------


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


def test_one_that_this_host_cannot_read_is_shown_mended_and_deleted(client: FlaskClient, ledger: Ledger) -> None:
    for name in ("s", "t"):
        create(client, name)
    strange = {"type": "a.tick", "plan": {"cron": "0 3 * * *", "tz": "Mars/Olympus"}, "payload": {},
               "policy": {"overlap": "sometimes"}}  # fmt: skip
    ledger.sql("update millrace.schedules set spec = %s", json.dumps(strange))
    assert [one["overlap"] for one in client.get(PLACE).get_json()["schedules"]] == ["sometimes"] * 2
    problem(client.post(f"{PLACE}/s/run"), 422)
    problem(client.get(f"{PLACE}/s/preview"), 422)
    mended = {"plan": {"every": 60}, "overlap": None}
    assert client.patch(f"{PLACE}/s", json=mended, headers={"If-Match": "*"}).status_code == 200
    assert client.post(f"{PLACE}/s/run").status_code == 202
    assert client.delete(f"{PLACE}/t").status_code == 204


# --- many at once -------------------------------------------------------------------------------------------------


def test_a_hammer_of_edits_around_due_instants_loses_and_doubles_nothing(client: FlaskClient, ledger: Ledger) -> None:
    """Three clocks fire a schedule of each second while operators change, pause and resume it as fast as they can.

    Every instant from the first slot to the last is accounted for once: by a slot, or in the ``missed`` of the one
    after it.
    """
    create(client, plan={"every": 1})
    operator = bootstrap.operations(Settings.model_construct(database_url=ledger.url), registry=ledger.registry)
    stop, acts = threading.Event(), itertools.count()

    def hammer(seed: int) -> None:
        dice = random.Random(seed)
        while not stop.is_set():
            act = dice.choice(("edit", "edit", "edit", "pause", "resume", "resume"))
            try:
                if act == "edit":
                    changes = {"payload": {"n": next(acts)}, "jitter": dice.choice((0, 0.4)), "plan": {"every": 1}}
                    operator.schedules.edit("s", changes, revision=None, by="hammer")
                else:
                    getattr(operator.schedules, act)("s", by="hammer")
            except errors.LedgerUnavailable:
                continue  # The pool has one connection.

    def tick(clock: Clock) -> None:
        while not stop.is_set():
            clock.fire()

    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        running = [pool.submit(tick, Clock(ledger, name=f"clock {n}")) for n in range(3)]
        running += [pool.submit(hammer, seed) for seed in range(2)]
        try:
            ledger.until(lambda: ledger.sql("select count(*) > 8 from millrace.slots")[0][0], within=30)
        finally:
            stop.set()
        for one in running:
            one.result(10)
    operator.schedules.resume("s", by="hammer")
    count, span, missed = ledger.sql(
        "select count(*), extract(epoch from max(due_at) - min(due_at))::int + 1,"
        " coalesce(sum(missed) filter (where due_at > (select min(due_at) from millrace.slots)), 0)"
        " from millrace.slots"
    )[0]
    assert count + missed == span
    events = "select count(*), count(distinct slot_at) from millrace.events where schedule = 's'"
    fired = ledger.sql("select count(*) from millrace.slots where event_id is not null")[0][0]
    assert ledger.sql(events) == [(fired, fired)]
    assert next(acts) > 20, "hardly anything was changed"


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
