"""Dead letters: listed, and replayed once each, as new events."""

from __future__ import annotations

import concurrent.futures
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pydantic
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.domain import outcome
from tests.answers import document, problem
from tests.integration.operations.desk import dead, fail, released
from tests.ledgers import Ledger
from workers import face

pytestmark = pytest.mark.postgres


def test_dead_letters_are_listed_with_their_reason_page_by_page(ledger: Ledger, client: FlaskClient) -> None:
    died = [dead(ledger, "a.fails", n)[0] for n in range(5)]
    [other] = dead(ledger, "a.order", {"number": 1})
    page = document(client.get("/v1/dead?limit=4"))
    assert [d["id"] for d in page["dead"]] == [other, *died[:1:-1]]
    rest = document(client.get(f"/v1/dead?limit=4&cursor={page['next_cursor']}"))
    assert ([d["id"] for d in rest["dead"]], rest["next_cursor"]) == (died[1::-1], None)
    found = rest["dead"][0]
    assert (found["reason"], found["attempt"], found["error"]["error"]) == ("attempts", 1, "RuntimeError")
    assert [d["id"] for d in document(client.get("/v1/dead?type=a.order&reason=attempts"))["dead"]] == [other]
    assert document(client.get("/v1/dead?reason=worker_lost"))["dead"] == []
    assert document(client.get("/v1/dead?until=2020-01-01T00:00:00Z"))["dead"] == []
    assert len(document(client.get("/v1/dead?since=2020-01-01T00:00:00Z"))["dead"]) == 6
    wrong = problem(client.get("/v1/dead?reason=bad&cursor=x&limit=501&nothing=1"), 422)
    assert {e["parameter"] for e in wrong["errors"]} == {"reason", "cursor", "limit", "nothing"}


def test_a_replay_is_a_new_event_and_the_old_one_points_to_it(ledger: Ledger, client: FlaskClient) -> None:
    [old] = dead(ledger, "a.fails", {"n": 7})
    answer = client.post(f"/v1/events/{old}/replay")
    new = document(answer, 202)["id"]
    assert answer.headers["Location"] == f"/v1/events/{new}"
    ledger.check()
    found, before = document(client.get(f"/v1/events/{new}")), document(client.get(f"/v1/events/{old}"))
    assert (found["state"], found["payload"], found["replay_of"]) == ("pending", {"n": 7}, old)
    assert (before["state"], before["replayed_as"]) == ("dead", new)
    [letter] = document(client.get("/v1/dead?replayed=true"))["dead"]
    assert (letter["replayed_as"], letter["replayed_by"]) == (new, "night-shift")
    ledger.registry._handlers["a.fails"] = ledger.registry.get("a.one")  # It is mended.
    ledger.work()
    assert (ledger.balance(), ledger.states(), ledger.tickets()) == (1, {"dead": 1, "succeeded": 1}, [])


def test_only_the_dead_are_replayed_and_each_once(ledger: Ledger, client: FlaskClient) -> None:
    [pending] = ledger.post("a.one", 1)
    assert problem(client.post(f"/v1/events/{pending}/replay"), 409)["state"] == "pending"
    [old] = dead(ledger, "a.fails", 1)
    new = document(client.post(f"/v1/events/{old}/replay"), 202)["id"]
    again = problem(client.post(f"/v1/events/{old}/replay"), 409)
    assert (again["type"], again["replayed_as"]) == ("/problems/already-replayed", new)


def test_a_payload_may_be_edited_and_must_fit(ledger: Ledger, client: FlaskClient) -> None:
    [old] = dead(ledger, "a.order", {"number": 1})
    wrong = problem(client.post(f"/v1/events/{old}/replay", json={"payload": {"number": "x"}}), 422)
    assert wrong["errors"][0]["pointer"] == "/number"
    problem(client.post(f"/v1/events/{old}/replay", json={"number": 2}), 422)
    problem(client.post(f"/v1/events/{old}/replay", data="{", content_type="application/json"), 400)
    assert ledger.states() == {"dead": 1}
    new = document(client.post(f"/v1/events/{old}/replay", json={"payload": {"number": 2}}), 202)["id"]
    assert document(client.get(f"/v1/events/{new}"))["payload"] == {"number": 2}
    assert document(client.get(f"/v1/events/{old}"))["payload"] == {"number": 1}


def test_a_payload_with_its_masks_in_it_is_not_worked(ledger: Ledger, client: FlaskClient) -> None:
    [old] = dead(ledger, "a.fails", {"n": 1, "card": "4111", "stars": "***"})
    shown = document(client.get(f"/v1/events/{old}"))["payload"]  # As who mends it has copied it.
    assert shown["card"] == "***"
    wrong = problem(client.post(f"/v1/events/{old}/replay", json={"payload": shown | {"n": 2}}), 422)
    [fault] = wrong["errors"]
    assert (fault["pointer"], "reveal" in fault["detail"]) == ("/card", True)
    page = client.post(f"/console/events/{old}/replay", data={"payload": json.dumps(shown | {"n": 2})})
    assert (page.status_code, "<code>/card</code>" in page.text) == (422, True)
    assert ledger.states() == {"dead": 1}
    whole = document(client.get(f"/v1/events/{old}?reveal=to+mend+it"))["payload"]
    document(client.post(f"/v1/events/{old}/replay", json={"payload": whole | {"n": 2}}), 202)


def test_a_payload_that_fits_no_longer_must_be_edited(ledger: Ledger, client: FlaskClient) -> None:
    [old] = dead(ledger, "a.fails", "once a text was fine")
    ledger.registry._handlers["a.fails"] = ledger.registry.get("a.order")
    problem(client.post(f"/v1/events/{old}/replay"), 422)
    document(client.post(f"/v1/events/{old}/replay", json={"payload": {"number": 1}}), 202)


def test_a_dry_run_counts_by_type_and_finds_what_no_longer_fits(ledger: Ledger, client: FlaskClient) -> None:
    dead(ledger, "a.fails", 1, {"number": 2}, 3)
    dead(ledger, "a.order", {"number": 1})
    ledger.handler("a.gone", fail, attempts=1)
    dead(ledger, "a.gone", 1)
    ledger.registry._handlers["a.fails"] = ledger.registry.get("a.order")
    del ledger.registry._handlers["a.gone"]
    for dry_run, states in ((True, {"dead": 5}), (False, {"dead": 5, "pending": 2})):
        found = document(client.post(f"/v1/replay?all=true&dry_run={dry_run}"), 200 if dry_run else 202)
        counts = {t["type"]: (t["replayed"], t["unfit"], t["unhandled"]) for t in found["types"]}
        assert counts == {"a.fails": (1, 2, 0), "a.gone": (0, 0, 1), "a.order": (1, 0, 0)}
        assert (found["dry_run"], found["replayed"], found["left"]) == (dry_run, 2, 3)
        assert ledger.states() == states
        ledger.check()


def test_a_letter_that_its_model_fails_at_is_left_alone_and_those_behind_it_are_replayed(
    ledger: Ledger, client: FlaskClient
) -> None:
    class Priced(pydantic.BaseModel):
        price: int

        @pydantic.model_validator(mode="before")
        @classmethod
        def flatten(cls, value: Any) -> Any:
            return {"price": value["order"]["price"]}  # KeyError, which pydantic lets through.

    fits = {"order": {"price": 3}}
    old = dead(ledger, "a.fails", fits, {}, fits)
    ledger.handler("a.priced", fail, payload=Priced, parse=face.parser(Priced))
    ledger.registry._handlers["a.fails"] = ledger.registry.get("a.priced")
    for dry_run, states in ((True, {"dead": 3}), (False, {"dead": 3, "pending": 2})):
        found = document(client.post(f"/v1/replay?all=true&dry_run={dry_run}"), 200 if dry_run else 202)
        [counts] = found["types"]
        assert (counts["replayed"], counts["unfit"], found["complete"]) == (2, 1, True)
        assert old[1] in counts["example"]
        assert "KeyError" in counts["example"]
        assert ledger.states() == states
    wrong = problem(client.post(f"/v1/events/{old[1]}/replay"), 500)
    assert (wrong["type"], "KeyError" in wrong["detail"]) == ("/problems/model-failed", True)
    document(client.post(f"/v1/events/{old[1]}/replay", json={"payload": fits}), 202)


def test_a_replay_by_filter_keeps_its_limit_and_begins_with_the_oldest(
    ledger: Ledger, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.application.replay.BATCH", 3)
    died = sorted(dead(ledger, "a.fails", *range(10)))
    found = document(client.post("/v1/replay?type=a.fails&limit=7"), 202)
    assert (found["replayed"], found["left"], found["complete"]) == (7, 3, False)
    old = ledger.sql("select event_id::text from millrace.dead where replayed_as is not null order by 1")
    assert [row[0] for row in old] == died[:7]
    found = document(client.post("/v1/replay?type=a.fails"), 202)
    assert (found["replayed"], found["left"], found["complete"]) == (3, 0, True)
    assert document(client.post("/v1/replay?type=a.fails"))["replayed"] == 0


def test_a_replay_is_throttled_by_when_its_tickets_are_due(ledger: Ledger, client: FlaskClient) -> None:
    dead(ledger, "a.fails", *range(20))
    begun = time.monotonic()
    document(client.post("/v1/replay?all=1&rate=2"), 202)
    waits = "select round(extract(epoch from due_at - min(due_at) over ()))::int, cardinality(event_ids)"
    assert ledger.sql(f"{waits} from millrace.tickets order by due_at") == [(n, 2) for n in range(10)]
    ledger.check()
    due = released(ledger)
    assert len(due) <= 2 + time.monotonic() - begun
    later = document(client.get("/v1/events?state=pending"))["events"][-1]
    assert document(client.get(f"/v1/events/{later['id']}"))["reason"] in ("scheduled", "queued")
    last = "(select max(run_at) from millrace.events) - interval '0.5 s'"
    assert ledger.sql(f"select count(*) from millrace.events where run_at > {last}") == [(2,)]


def test_what_cost_its_workers_their_lives_is_replayed_carefully(ledger: Ledger, client: FlaskClient) -> None:
    dead(ledger, "a.fails", 1, 2)
    ledger.sql(
        "update millrace.dead set reason = %s where event_id = (select max(event_id::text)::uuid from millrace.dead)",
        outcome.Reason.WORKER_LOST,
    )
    document(client.post("/v1/replay?all=1"), 202)
    assert sorted(t.careful for t in ledger.tickets()) == [False, True]


def test_a_tick_is_replayed_as_a_tick(ledger: Ledger, client: FlaskClient) -> None:
    [old] = dead(ledger, "a.fails", 1)
    ledger.sql("update millrace.events set schedule = 'nightly', slot_at = '2026-01-01T00:00:00Z'")
    new = document(client.post(f"/v1/events/{old}/replay"), 202)["id"]
    assert document(client.get(f"/v1/events/{new}"))["slot_at"] == "2026-01-01T00:00:00Z"
    assert ledger.sql("select queue, exchange, routing_key from millrace.tickets") == [
        ("periodic", "millrace.periodic", "tick.nightly")
    ]


@pytest.mark.usefixtures("patience_for_locks")
def test_two_operators_at_once_make_one_replay(ledger: Ledger, client: FlaskClient) -> None:
    letters = dead(ledger, "a.fails", *range(10))
    for old in letters:
        answers = at_once(client, 4, lambda own, old=old: own.post(f"/v1/events/{old}/replay"))
        [won] = [a.get_json()["id"] for a in answers if a.status_code == 202]
        assert [problem(a, 409)["replayed_as"] for a in answers if a.status_code != 202] == [won] * 3
        ledger.check()
    assert ledger.states() == {"dead": 10, "pending": 10}


def test_two_operators_by_filter_and_one_by_hand_make_one_replay_each(ledger: Ledger, client: FlaskClient) -> None:
    letters = dead(ledger, "a.fails", *range(60))
    places = ["/v1/replay?all=1", "/v1/replay?type=a.fails", f"/v1/events/{letters[30]}/replay"]
    waiting = iter(places)
    answers = at_once(client, 3, lambda own: own.post(next(waiting)))
    assert {a.status_code for a in answers} <= {200, 202, 409}
    assert ledger.sql(
        "select count(*), count(distinct replay_of) from millrace.events where replay_of is not null"
    ) == [(60, 60)]
    assert ledger.sql(
        "select count(*) from millrace.events o join millrace.events n on n.id = o.replayed_as and n.replay_of = o.id"
        " join millrace.dead d on d.event_id = o.id and d.replayed_as = n.id"
    ) == [(60,)]


def at_once(client: FlaskClient, count: int, act: Callable[[FlaskClient], TestResponse]) -> list[TestResponse]:
    """The answers to ``count`` clients that act at the same moment."""
    meet = threading.Barrier(count)

    def one(own: FlaskClient) -> TestResponse:
        meet.wait()
        return act(own)

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, [client.application.test_client() for _ in range(count)]))
