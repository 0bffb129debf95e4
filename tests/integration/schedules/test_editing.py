"""Schedules are made, changed, listed and previewed over HTTP."""

from __future__ import annotations

import json

import pytest
from flask.testing import FlaskClient

from service.domain import schedules
from service.plans import Interval
from tests.answers import problem
from tests.integration.schedules.desk import PLACE, Clock, create
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


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
    assert (year["total"], len(year["days"])) == (2, 366)  # Within its start and its end.
    assert [day["date"] for day in year["days"] if day["count"]] == ["2096-03-24", "2096-03-25"]
    assert "2 runs on 2 days of 2096" in client.get("/console/schedules/s?year=2096").text
    assert "0 runs on 0 days of 2097" in client.get("/console/schedules/s?year=2097").text
    assert problem(client.post(f"{PLACE}/preview", json={"cron": "x"}), 422)["errors"][0]["pointer"] == "/plan/cron"
    problem(client.get(f"{PLACE}/s/preview?tz=Mars/Olympus"), 422)
    problem(client.get(f"{PLACE}/s/year"), 422)


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
