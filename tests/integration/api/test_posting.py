"""One event is posted: what is taken, what is refused, and what a repeat with its key is answered."""

from __future__ import annotations

import concurrent.futures
import json
import uuid
from collections import Counter
from collections.abc import Callable

import pytest
from werkzeug.test import TestResponse

from tests.answers import problem
from tests.integration.api.doors import CLIENTS, Api, ok

pytestmark = pytest.mark.postgres


def test_a_posted_event_is_accepted_with_its_place_and_its_document(api: Api) -> None:
    answer = api.post({"b": 1, "a": [2]})
    document = json.loads(answer.data)
    assert (answer.status_code, answer.content_type) == (202, "application/json")
    assert answer.headers["Location"] == document["links"]["self"] == f"/v1/events/{document['id']}"
    assert (document["type"], document["state"]) == ("echo", "pending")
    assert uuid.UUID(document["id"]).version == 7
    assert document.pop("expected_at") is None  # What is said of it only now: tests/integration/api/test_expected.py.
    shown = ok(api.client.get(answer.headers["Location"]))
    assert {name: shown[name] for name in document} == document
    assert shown["payload"] == {"b": 1, "a": [2]}


def test_a_payload_that_does_not_fit_its_model_is_refused_field_by_field(shared: Api) -> None:
    found = problem(shared.post({"number": "x", "lines": [1, "2a", None]}, "orders.created"), 422)
    assert [fault["pointer"] for fault in found["errors"]] == ["/number", "/lines/1", "/lines/2"]
    assert all(fault["detail"] for fault in found["errors"])
    assert [f["pointer"] for f in problem(shared.post([], "orders.created"), 422)["errors"]] == [""]
    assert shared.found(type="orders.created") == []
    taken = shared.id({"number": 1}, "orders.created")
    assert shared.found(type="orders.created") == [taken]


def test_what_the_ledger_alone_cannot_keep_is_refused_too(shared: Api) -> None:
    """jsonb knows no number of more than 131,072 digits before the point; the door lets none of over 4,300 pass."""
    assert shared.show(shared.id(10**4299))["payload"] == 10**4299
    problem(shared.client.post("/v1/events/echo", data="1" * 4301, content_type="application/json"), 400)


def test_a_repeat_gets_the_answer_of_the_first(api: Api) -> None:
    first = api.post({"a": 1, "b": 2}, key='"8e03978e"')
    assert first.status_code == 202
    for payload, key in (({"a": 1, "b": 2}, '"8e03978e"'), ({"b": 2, "a": 1}, "8e03978e")):
        again = api.post(payload, key=key)
        assert (again.status_code, again.data, again.headers["Location"]) == (
            202,
            first.data,
            first.headers["Location"],
        )
    assert api.count() == 1


@pytest.mark.fault(32)
def test_a_repeat_after_the_event_was_worked_gets_the_same_answer(api: Api) -> None:
    first = api.post(1, key="k")
    api.ledger.work()
    assert api.post(1, key="k").data == first.data
    assert api.count() == 1


@pytest.mark.fault(33)
def test_a_key_that_is_used_for_something_else_is_refused(api: Api) -> None:
    api.id(1, key="k")
    assert problem(api.post(2, key="k"), 422)["type"] == "/problems/key-reused"
    problem(api.post(1, "other", key="k"), 422)
    assert api.count() == 1
    # Other producers have keys of their own.
    api.id(2, key="k", X_Producer="someone else")
    assert api.count() == 2


@pytest.mark.parametrize(
    "key", ["", '""', " ", "two words", 'one"quote', "\x7f", "é", '"é"', "x" * 256, f'"{"x" * 256}"']
)
def test_a_key_that_cannot_be_kept_is_refused(shared: Api, key: str) -> None:
    assert "Idempotency-Key" in problem(shared.post(1, key=key), 400)["detail"]


@pytest.mark.parametrize("key", ["x" * 255, f'"{"x" * 255}"', '"two words"', '"a \\"b\\" \\\\"', "a:b/c=~1"])
def test_a_key_may_be_a_token_or_any_quoted_ascii(shared: Api, key: str) -> None:
    assert shared.id(1, key=key) == shared.id(1, key=key)


def at_once(action: Callable[[int], TestResponse]) -> list[TestResponse]:
    """What many clients are answered at once."""
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(action, range(CLIENTS)))


def test_fifty_twins_at_once_are_one_event(api: Api) -> None:
    answers = at_once(lambda _: api.post({"n": 1}, key="twins"))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.data for answer in answers}) == 1
    assert api.count() == 1


@pytest.mark.fault(33)
def test_of_two_bodies_under_one_key_one_is_stored_and_the_other_refused(api: Api) -> None:
    answers = at_once(lambda number: api.post({"n": number % 2}, key="twins"))
    assert Counter(a.status_code for a in answers) == {202: CLIENTS // 2, 422: CLIENTS // 2}
    assert len({a.data for a in answers if a.status_code == 202}) == 1
    assert api.count() == 1
