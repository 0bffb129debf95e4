"""The numbers application: what it refuses, its words, and its views before a fake service."""

from __future__ import annotations

import decimal
import json
import math
import uuid
from typing import Any

import flask
import pytest
from numbers_app import jobs, payloads, queries, status, views

from service import web
from service.domain import errors, states
from workers import face as worker_face

REQUEST: dict[str, Any] = {"rid": 7, "numbers": [51, 52, 51], "jobtodo": ["sum", "mul", "sum"]}
UPDATE: dict[str, Any] = {
    "numbers_id": [1, 2],
    "numbers": [51, 52],
    "jobtodo_new": ["sum_Done", "mul_Done"],
    "result": [53, 104],
}

parse_request = worker_face.parser(payloads.NumberRequest)
parse_update = worker_face.parser(payloads.NumberUpdate)


def faults(parse: Any, document: dict[str, Any]) -> list[str]:
    """The JSON pointers of what is wrong with a document."""
    with pytest.raises(errors.InvalidEvent) as refused:
        parse(document)
    return [fault.pointer for fault in refused.value.faults]


# --- payloads -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "meant"), [(7, 7), ("7", 7), ("007", 7), (-(2**63), -(2**63)), ("-3", -3)])
def test_a_rid_is_an_integer_or_a_string_of_digits(given: Any, meant: int) -> None:
    assert parse_request(REQUEST | {"rid": given}).rid == meant


@pytest.mark.parametrize(
    "rid",
    [True, None, 7.0, "", "seven", " 7", "7.0", "+7", "1_000", "\u0663", 2**63, str(2**63), "9" * 99, "9" * 9999, [7]],
)
def test_any_other_rid_is_refused(rid: Any) -> None:
    assert faults(parse_request, REQUEST | {"rid": rid}) == ["/rid"]


@pytest.mark.parametrize("number", [0, -1, 51, 2**80, 0.5, -2.5e-300, 1e308])
def test_numbers_are_integers_and_fractions(number: float) -> None:
    parsed = parse_request({"rid": 1, "numbers": [number], "jobtodo": ["sum"]})
    assert parsed.numbers == [number]
    assert type(parsed.numbers[0]) is type(number)


@pytest.mark.parametrize("number", [True, None, "51", math.nan, math.inf, -math.inf, [51], {}, 10**400])
def test_what_is_no_number_is_refused_with_its_place(number: Any) -> None:
    assert faults(parse_request, REQUEST | {"numbers": [51, number, 51]}) == ["/numbers/1"]
    assert faults(parse_update, UPDATE | {"numbers": [51, number]}) == ["/numbers/1"]


@pytest.mark.parametrize("word", ["div", "SUM", "", "sum_Done", None, 1])
def test_an_unknown_job_is_refused_with_its_place(word: Any) -> None:
    assert faults(parse_request, REQUEST | {"jobtodo": ["sum", "mul", word]}) == ["/jobtodo/2"]


@pytest.mark.parametrize("field", ["rid", "numbers", "jobtodo"])
def test_a_missing_field_is_named(field: str) -> None:
    document = {name: value for name, value in REQUEST.items() if name != field}
    assert faults(parse_request, document) == [f"/{field}"]


@pytest.mark.parametrize("field", ["numbers", "jobtodo"])
@pytest.mark.parametrize("value", ["sum", {"0": 1}, None, 3])
def test_a_list_that_is_none_is_refused(field: str, value: Any) -> None:
    assert faults(parse_request, REQUEST | {field: value}) == [f"/{field}"]


@pytest.mark.parametrize("words", [[], ["sum"], ["sum"] * 4])
def test_lists_of_different_length_are_refused(words: list[str]) -> None:
    assert faults(parse_request, REQUEST | {"jobtodo": words}) == ["/jobtodo"]


def test_a_huge_list_is_refused_and_the_longest_is_not() -> None:
    most = payloads.MOST_NUMBERS
    parse_request({"rid": 1, "numbers": [1] * most, "jobtodo": ["sum"] * most})
    assert "/numbers" in faults(parse_request, REQUEST | {"numbers": [1] * (most + 1)})


def test_a_list_full_of_faults_is_answered_with_one() -> None:
    assert faults(parse_request, REQUEST | {"numbers": ["x"] * 1000}) == ["/numbers/0"]


def test_an_update_takes_every_word_and_a_result_that_is_not_there_yet() -> None:
    many = list(range(1, len(jobs.WORDS) + 1))
    document = {"numbers_id": many, "numbers": many, "jobtodo_new": [*jobs.WORDS], "result": [None] * len(many)}
    assert parse_update(document).jobtodo_new == [*jobs.WORDS]


@pytest.mark.parametrize("field", ["numbers", "jobtodo_new", "result"])
def test_an_update_with_lists_of_different_length_names_the_odd_one(field: str) -> None:
    assert faults(parse_update, UPDATE | {field: UPDATE[field][:1]}) == [f"/{field}"]


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("numbers_id", [1, 1], "/numbers_id"),
        ("numbers_id", [1, "2"], "/numbers_id/1"),
        ("numbers_id", [1, True], "/numbers_id/1"),
        ("numbers_id", [1, 2**63], "/numbers_id/1"),
        ("jobtodo_new", ["sum_Done", "plus_Done"], "/jobtodo_new/1"),
        ("result", ["53", 104], "/result/0"),
    ],
)
def test_a_fault_in_an_update_is_refused_with_its_place(field: str, value: Any, pointer: str) -> None:
    assert faults(parse_update, UPDATE | {field: value}) == [pointer]


# --- words --------------------------------------------------------------------------------------------------------


def test_sum_adds_two_and_mul_doubles() -> None:
    assert [jobs.Job.SUM.result(51), jobs.Job.MUL.result(51)] == [53, 102]
    assert jobs.WORDS == ("sum", "sum_Doing", "sum_Done", "mul", "mul_Doing", "mul_Done")


def test_every_state_of_an_event_has_one_of_the_status_words() -> None:
    assert set(status.WORDS) == {str(state) for state in states.State}
    assert {*status.WORDS.values(), "RETRY"} == {"PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED"}


@pytest.mark.parametrize(
    ("event", "word", "response"),
    [
        ({"state": "pending", "attempt": 0}, "PENDING", "Waiting"),
        ({"state": "pending", "attempt": 2, "error": {"message": "too bad"}}, "RETRY", "too bad"),
        ({"state": "running", "attempt": 1}, "STARTED", "worker"),
        ({"state": "succeeded", "attempt": 1, "result": "OK"}, "SUCCESS", "OK"),
        ({"state": "succeeded", "attempt": 1, "result": None}, "SUCCESS", "OK"),
        ({"state": "succeeded", "attempt": 1, "result": {"worked": 3}}, "SUCCESS", '{"worked": 3}'),
        ({"state": "succeeded", "attempt": 1, "result": "There is one already."}, "SUCCESS", "There is one"),
        ({"state": "dead", "attempt": 5, "error": {"error": "KeyError", "message": ""}}, "FAILURE", "KeyError"),
        ({"state": "dead", "attempt": 0}, "FAILURE", "no reason"),
        ({"state": "cancelled", "attempt": 0}, "REVOKED", "cancelled"),
        ({"state": "expired", "attempt": 0}, "REVOKED", "expired"),
    ],
)
def test_an_event_is_told_in_the_words_of_celery(event: dict[str, Any], word: str, response: str) -> None:
    assert status.word(event) == word
    assert response in status.response(event)


# --- views --------------------------------------------------------------------------------------------------------


class Service:
    """What the views ask of the service, kept in memory."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.submitted: list[tuple[str, dict[str, Any]]] = []

    def submit(self, event_type: str, payload: dict[str, Any], key: str | None = None) -> str:
        self.submitted.append((event_type, payload))
        event_id = str(uuid.uuid4())
        self.events[event_id] = {"id": event_id, "state": "pending", "attempt": 0}
        return event_id


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    fake = Service()
    monkeypatch.setattr(views.face, "submit", fake.submit)
    monkeypatch.setattr(views.face, "find", fake.events.get)
    monkeypatch.setattr(views.face, "session", lambda: None)
    return fake


@pytest.fixture
def client(service: Service) -> Any:
    app = flask.Flask("door")
    app.config["MAX_CONTENT_LENGTH"] = 256 * 1024

    def refuse(error: errors.InvalidEvent) -> Any:
        return {"faults": [fault.pointer for fault in error.faults]}, 422

    app.register_error_handler(errors.InvalidEvent, refuse)
    web.mount(app, views)
    return app.test_client()


@pytest.mark.parametrize(
    "url", ["/number_request", "/number_request/", "/numbers/number_request", "/numbers/number_request/"]
)
def test_both_mounts_answer_alike_with_and_without_a_slash(client: Any, service: Service, url: str) -> None:
    answer = client.post(url, json=REQUEST)
    assert (answer.status_code, list(answer.json)) == (201, ["taskID"])
    assert service.submitted == [("numbers.requested", REQUEST)]


def test_a_body_needs_no_content_type_and_unknown_fields_stay_behind(client: Any, service: Service) -> None:
    assert client.post("/update_request", data=json.dumps(UPDATE | {"more": 1})).status_code == 201
    assert service.submitted == [("numbers.updated", UPDATE)]


def test_a_body_may_be_larger_than_that_of_a_single_event(client: Any) -> None:
    long = {"rid": 1, "numbers": [123456] * 100_000, "jobtodo": ["sum"] * 100_000}
    assert client.post("/number_request", json=long).status_code == 201


def test_a_body_beyond_all_bounds_is_too_large(client: Any) -> None:
    assert client.post("/number_request", data=" " * (views.LARGEST_BODY + 1)).status_code == 413


@pytest.mark.parametrize("body", ["", "{", "[" * 100_000, b"\xff"])
def test_a_body_that_is_no_json_is_a_bad_request(client: Any, body: Any) -> None:
    assert client.post("/number_request", data=body).status_code == 400


@pytest.mark.parametrize("body", ["[]", "7", "null", '"rid"'])
def test_a_body_that_is_no_object_is_refused(client: Any, body: str) -> None:
    answer = client.post("/number_request", data=body)
    assert (answer.status_code, answer.json) == (422, {"faults": [""]})


@pytest.mark.parametrize(("given", "in_query"), [(7, False), ("7", False), ("7", True)])
def test_a_list_is_asked_for_in_the_body_or_in_the_query(
    client: Any, monkeypatch: pytest.MonkeyPatch, given: Any, in_query: bool
) -> None:
    row = queries.Place(id=3, value=decimal.Decimal("51.0"), job="sum_Done", result=decimal.Decimal("53.5"))
    monkeypatch.setattr(queries, "read", lambda session, rid: [row] if rid == 7 else None)
    asked = {"query_string": {"rid": given}} if in_query else {"json": {"rid": given}}
    answer = client.get("/number_request", **asked)
    assert (answer.status_code, answer.json) == (201, {"rid": 7, "numbers": [51], "jobtodo": ["sum_Done"]})
    details = client.get("/number_request?details=1&rid=7").json
    assert (details["numbers_id"], details["result"]) == ([3], [53.5])
    assert client.get("/number_request?rid=8").status_code == 404


@pytest.mark.parametrize("url", ["/number_request", "/number_request?rid=x", "/number_request?rid="])
def test_a_rid_that_is_none_is_named_when_a_list_is_asked_for(client: Any, url: str) -> None:
    answer = client.get(url)
    assert (answer.status_code, answer.json) == (422, {"faults": ["/rid"]})


def test_an_event_is_followed_by_its_id(client: Any, service: Service) -> None:
    task_id = client.post("/number_request", json=REQUEST).json["taskID"]
    waiting = {"status": "PENDING", "response": "Waiting for a worker."}
    assert client.get("/check_request", json={"taskID": task_id}).json == waiting
    service.events[task_id] |= {"state": "succeeded", "attempt": 1, "result": "OK"}
    answer = client.get("/numbers/check_request/", query_string={"taskID": task_id})
    assert (answer.status_code, answer.json) == (201, {"status": "SUCCESS", "response": "OK"})


@pytest.mark.parametrize("task_id", ["", "no-id", "5f0c1c8e-6f0e-4d6f-9b57-0a3f3c1d2e4f", "\x00", "9" * 10_000])
def test_an_id_that_was_never_accepted_is_not_found(client: Any, task_id: str) -> None:
    assert client.get("/check_request", json={"taskID": task_id}).status_code == 404


@pytest.mark.parametrize("body", [{}, {"taskID": 7}, {"taskID": None}])
def test_a_missing_task_id_is_named(client: Any, body: dict[str, Any]) -> None:
    assert client.get("/check_request", json=body).json == {"faults": ["/taskID"]}
