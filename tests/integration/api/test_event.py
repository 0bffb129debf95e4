"""One event as it is shown, in each of its states."""

from __future__ import annotations

import datetime
import json
import re
import urllib.parse
import uuid
from typing import Any

import pytest

from service.domain import event
from tests.answers import problem
from tests.integration.api.doors import Api

pytestmark = pytest.mark.postgres


def state(document: dict[str, Any]) -> tuple[str, str | None]:
    return document["state"], document["reason"]


def test_a_new_event_is_queued(api: Api) -> None:
    found = api.show(api.id("x", X_Producer="shop", X_Request_Id="r-1"))
    assert state(found) == ("pending", "queued")
    assert (found["attempt"], found["attempts"], found["result"], found["error"]) == (0, [], None, None)
    assert (found["producer"], found["request_id"]) == ("shop", "r-1")
    assert moment(found["accepted_at"]) <= datetime.datetime.now(datetime.UTC)
    assert found["finished_at"] is None


def test_an_event_for_later_is_scheduled(api: Api) -> None:
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    [accepted] = api.ledger.intake.submit([event.NewEvent(type="echo", payload="1", run_at=later)])
    found = api.show(accepted.id)
    assert state(found) == ("pending", "scheduled")
    assert moment(found["run_at"]) == later


def test_a_worked_event_has_its_result(api: Api) -> None:
    event_id = api.id({"a": 1})
    api.ledger.work()
    found = api.show(event_id)
    assert state(found) == ("succeeded", None)
    assert (found["result"], found["error"], found["attempts"]) == ({"a": 1}, None, [])
    assert moment(found["accepted_at"]) <= moment(found["finished_at"])


def test_an_event_that_failed_is_retrying_and_then_dead_with_every_attempt(api: Api) -> None:
    event_id = api.id("fail")
    api.ledger.work()
    found = api.show(event_id)
    assert state(found) == ("pending", "retrying")
    assert (found["attempt"], found["error"]) == (1, {"error": "RuntimeError", "message": "as it was told"})
    assert moment(found["run_at"]) > moment(found["accepted_at"])

    api.ledger.sql("update millrace.events set run_at = now()")
    api.ledger.work()
    found = api.show(event_id)
    assert state(found) == ("dead", "attempts")
    assert [a["number"] for a in found["attempts"]] == [1, 2]
    for attempt in found["attempts"]:
        assert (attempt["error"], attempt["message"], attempt["worker"]) == ("RuntimeError", "as it was told", "test")
        assert moment(attempt["started_at"]) <= moment(attempt["finished_at"])


def test_an_event_that_was_discarded_says_why(api: Api) -> None:
    event_id = api.id("discard")
    api.ledger.work()
    found = api.show(event_id)
    assert state(found) == ("dead", "discarded")
    assert "nobody wants it" in json.dumps(found["error"])


def test_an_event_of_a_paused_type_is_paused(api: Api) -> None:
    api.ledger.sql("insert into millrace.types (name, paused_at) values ('echo', now())")
    api.id()  # This flush learns of the pause.
    assert state(api.show(api.id())) == ("pending", "paused")


def test_an_event_behind_a_full_window_is_held_back(api: Api) -> None:
    event_id = api.id()
    api.ledger.until(lambda: state(api.show(event_id)) == ("pending", "queued"))
    api.ledger.sql("insert into millrace.types (name, out_events) values ('echo', 20000)")
    api.ledger.until(
        lambda: api.ledger.sql("select count(*) from millrace.tickets where published_at is null")[0][0] == 0
    )
    api.ledger.sql("update millrace.tickets set published_at = null, due_at = now()")
    assert state(api.show(event_id)) == ("pending", "held back")


def test_numbers_are_shown_as_they_were_sent(shared: Api) -> None:
    text = '{"a":0.1,"b":18446744073709551616,"c":1.7976931348623157e+308,"d":-0.0}'
    event_id = json.loads(shared.client.post("/v1/events/echo", data=text, content_type="application/json").data)["id"]
    shown = json.loads(shared.client.get(f"/v1/events/{event_id}").data, parse_int=str, parse_float=str)["payload"]
    assert {name: float(value) for name, value in shown.items()} == json.loads(text)
    assert (shown["a"], shown["b"]) == ("0.1", "18446744073709551616")


@pytest.mark.parametrize(
    "event_id", [str(uuid.UUID(int=0)), "5f0c1c8e-6f0e-4d6f-9b57-0a3f3c1d2e4f", "7", "x" * 3000, "%00", "' or 1=1 --"]
)
def test_an_event_that_is_not_there_is_a_404(shared: Api, event_id: str) -> None:
    answer = shared.client.get(f"/v1/events/{urllib.parse.quote(event_id, safe='%')}")
    assert problem(answer, 404)["type"] == "/problems/event-not-found"


def test_an_id_may_be_written_in_capitals(shared: Api) -> None:
    event_id = shared.id()
    assert shared.show(event_id.upper())["id"] == event_id


def moment(text: str) -> datetime.datetime:
    """An instant as it is shown: RFC 3339, in UTC."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text), text
    return datetime.datetime.fromisoformat(text)
