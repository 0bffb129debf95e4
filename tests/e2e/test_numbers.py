"""The numbers application over HTTP, on a running stack: every line of its contract."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.patience import PATIENCE

#: A run on a ledger that was used before must not meet its old lists.
_rids = itertools.count(time.time_ns() // 1000)

MOUNTS = ("/", "/numbers/")
STORED = {"status": "SUCCESS", "response": "OK"}


@pytest.fixture
def rid() -> int:
    """A number that no list has yet."""
    return next(_rids)


def send(stack: Any, rid: Any, numbers: list[Any], jobs: list[str], path: str = "/number_request") -> str:
    """Post a list; the id of its event."""
    status, answer = stack.http("POST", path, json={"rid": rid, "numbers": numbers, "jobtodo": jobs})
    assert (status, list(answer)) == (201, ["taskID"])
    return str(answer["taskID"])


def check(stack: Any, task_id: str) -> dict[str, Any]:
    status, answer = stack.http("GET", "/check_request", json={"taskID": task_id})
    assert status == 201
    assert set(answer) == {"status", "response"}
    return dict(answer)


def finished(stack: Any, task_id: str, within: float = 15) -> dict[str, Any]:
    """What came of an event, as soon as it is known."""
    stack.wait(lambda: check(stack, task_id)["status"] in ("SUCCESS", "FAILURE", "REVOKED"), within=within)
    return check(stack, task_id)


def store(stack: Any, rid: Any, numbers: list[Any], jobs: list[str]) -> None:
    assert finished(stack, send(stack, rid, numbers, jobs)) == STORED


def shown(stack: Any, rid: Any, query: str = "") -> dict[str, Any]:
    status, answer = stack.http("GET", f"/number_request?rid={rid}{query}")
    assert status == 201
    return dict(answer)


def tick(stack: Any, *types: str) -> list[str]:
    """Do now what the clock does every minute; the ids of the events."""
    answers = [stack.http("POST", f"/v1/events/{name}", json={}) for name in types or ("numbers.sum", "numbers.mul")]
    assert {status for status, _ in answers} == {202}
    return [event["id"] for _, event in answers]


def all_done(stack: Any, rid: int) -> bool:
    return all(word.endswith("_Done") for word in shown(stack, rid)["jobtodo"])


def post_text(stack: Any, path: str, text: str) -> tuple[int, dict[str, Any]]:
    """Post a body as it is, which no JSON library would write."""
    request = urllib.request.Request(stack.url.rstrip("/") + path, text.encode(), method="POST")
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=30 * PATIENCE) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


# --- the four calls -----------------------------------------------------------------------------------------------


def test_a_list_is_stored_shown_and_worked_off(stack: Any, rid: int) -> None:
    task_id = send(stack, rid, [51, 52, 53], ["sum", "mul", "sum"])
    assert str(uuid.UUID(task_id)) == task_id
    assert finished(stack, task_id) == STORED
    first = shown(stack, rid)
    assert set(first) == {"rid", "numbers", "jobtodo"}
    assert (first["rid"], first["numbers"]) == (rid, [51, 52, 53])
    tick(stack)
    stack.wait(lambda: all_done(stack, rid), within=15)
    done = shown(stack, rid, "&details=1")
    assert done["numbers"] == [51, 52, 53]
    assert done["jobtodo"] == ["sum_Done", "mul_Done", "sum_Done"]
    assert done["result"] == [53, 104, 55]


def test_a_rid_may_be_a_string_of_digits(stack: Any, rid: int) -> None:
    store(stack, str(rid), [1], ["sum"])
    status, answer = stack.http("GET", "/number_request", json={"rid": str(rid)})
    assert (status, answer["rid"], answer["numbers"]) == (201, rid, [1])


def test_a_get_takes_its_fields_from_the_body_or_from_the_query(stack: Any, rid: int) -> None:
    task_id = send(stack, rid, [7, 0.5, -3], ["mul", "mul", "mul"])
    assert finished(stack, task_id) == STORED
    for kind, fields in (("number_request", {"rid": rid}), ("check_request", {"taskID": task_id})):
        name, value = next(iter(fields.items()))
        by_body = stack.http("GET", f"/{kind}", json=fields)
        by_query = stack.http("GET", f"/{kind}?{name}={value}")
        assert by_body[0] == by_query[0] == 201
        assert by_body[1].keys() == by_query[1].keys()
    assert shown(stack, rid)["numbers"] == [7, 0.5, -3]


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("slash", ["", "/"])
def test_both_mounts_answer_alike_with_and_without_a_slash(stack: Any, rid: int, mount: str, slash: str) -> None:
    task_id = send(stack, rid, [5], ["sum"], path=f"{mount}number_request{slash}")
    assert finished(stack, task_id) == STORED
    status, answer = stack.http("GET", f"{mount}check_request{slash}?taskID={task_id}")
    assert (status, answer) == (201, STORED)
    status, answer = stack.http("GET", f"{mount}number_request{slash}", json={"rid": rid})
    assert (status, answer["numbers"]) == (201, [5])
    nothing: dict[str, list[Any]] = {"numbers_id": [], "numbers": [], "jobtodo_new": [], "result": []}
    status, answer = stack.http("POST", f"{mount}update_request{slash}", json=nothing)
    assert status == 201
    assert finished(stack, answer["taskID"]) == STORED


def test_what_was_never_accepted_is_not_found(stack: Any, rid: int) -> None:
    for task_id in (str(uuid.uuid4()), "no-id", "0"):
        assert stack.http("GET", "/check_request", json={"taskID": task_id})[0] == 404
    assert stack.http("GET", f"/number_request?rid={rid}")[0] == 404


def test_a_second_list_with_the_same_rid_says_so_and_changes_nothing(stack: Any, rid: int) -> None:
    store(stack, rid, [1, 2], ["sum", "mul"])
    answer = finished(stack, send(stack, rid, [9, 9, 9], ["mul", "mul", "mul"]))
    assert answer["status"] == "SUCCESS"
    assert answer["response"] != "OK"
    assert str(rid) in answer["response"]
    assert shown(stack, rid)["numbers"] == [1, 2]


def test_one_of_many_lists_with_the_same_rid_at_once_is_stored(stack: Any, rid: int) -> None:
    tasks = [send(stack, rid, [number], ["sum"]) for number in range(10)]
    answers = [finished(stack, task)["response"] for task in tasks]
    assert answers.count("OK") == 1
    assert shown(stack, rid)["numbers"] == [answers.index("OK")]


def test_a_number_may_stand_in_a_list_twice(stack: Any, rid: int) -> None:
    store(stack, rid, [51, 51, 51], ["sum", "mul", "sum"])
    tick(stack)
    stack.wait(lambda: all_done(stack, rid), within=15)
    assert shown(stack, rid, "&details=1")["result"] == [53, 102, 53]


def test_an_empty_list_is_a_list(stack: Any, rid: int) -> None:
    store(stack, rid, [], [])
    assert shown(stack, rid) == {"rid": rid, "numbers": [], "jobtodo": []}


# --- updates ------------------------------------------------------------------------------------------------------


def update(stack: Any, ids: list[Any], numbers: list[Any], words: list[str], results: list[Any]) -> dict[str, Any]:
    body = {"numbers_id": ids, "numbers": numbers, "jobtodo_new": words, "result": results}
    status, answer = stack.http("POST", "/update_request", json=body)
    assert (status, list(answer)) == (201, ["taskID"])
    return finished(stack, answer["taskID"])


@contextlib.contextmanager
def without_ticks(stack: Any) -> Iterator[None]:
    """The clock does nothing of what it does every minute, and all that it did has come to its end."""
    names = ("numbers.sum", "numbers.mul")
    try:
        for name in names:
            assert stack.http("POST", f"/v1/schedules/{name}/pause")[0] == 200
            asked = f"/v1/events?type={name}&state=pending"
            stack.wait(lambda asked=asked: not stack.http("GET", asked)[1]["events"], within=15)
        yield
    finally:
        for name in names:
            assert stack.http("POST", f"/v1/schedules/{name}/resume")[0] == 200


def test_a_program_outside_may_work_numbers_off(stack: Any, rid: int) -> None:
    with without_ticks(stack):
        store(stack, rid, [51, 52, 51], ["sum", "mul", "sum"])
        ids = shown(stack, rid, "&details=1")["numbers_id"]
        assert update(stack, ids[1:], [52, 51], ["mul_Done", "sum_Doing"], [104, None]) == STORED
        after = shown(stack, rid, "&details=1")
        assert after["jobtodo"][1:] == ["mul_Done", "sum_Doing"]
        assert after["result"][1:] == [104, None]
    # A job that someone outside has taken over is left alone.
    tick(stack)
    stack.wait(lambda: shown(stack, rid)["jobtodo"][0] == "sum_Done", within=15)
    assert shown(stack, rid)["jobtodo"] == ["sum_Done", "mul_Done", "sum_Doing"]


@pytest.mark.parametrize("wrong", ["id", "number"])
def test_an_update_that_is_not_right_changes_nothing_and_says_so(stack: Any, rid: int, wrong: str) -> None:
    store(stack, rid, [51, 52], ["sum", "mul"])
    ids = shown(stack, rid, "&details=1")["numbers_id"]
    if wrong == "id":
        answer = update(stack, [ids[0], 2**62], [51, 52], ["sum_Done"] * 2, [0, 0])
    else:
        answer = update(stack, ids, [51, 99], ["sum_Done"] * 2, [0, 0])
    assert answer["status"] == "SUCCESS"
    assert "nothing was changed" in answer["response"]
    assert 0 not in shown(stack, rid, "&details=1")["result"]


# --- long lists ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [20_000, pytest.param(100_000, marks=pytest.mark.heavy)])
def test_many_numbers_are_stored_and_worked_in_seconds(stack: Any, rid: int, count: int) -> None:
    numbers = [n % 1000 for n in range(count)]
    jobs = ["sum" if n % 3 else "mul" for n in range(count)]
    assert finished(stack, send(stack, rid, numbers, jobs), within=30) == STORED
    tick(stack)
    stack.wait(lambda: all_done(stack, rid), within=30)
    done = shown(stack, rid, "&details=1")
    assert done["numbers"] == numbers
    assert done["jobtodo"] == [f"{job}_Done" for job in jobs]
    assert done["result"] == [n + 2 if job == "sum" else n * 2 for n, job in zip(numbers, jobs, strict=True)]


def test_ticks_at_once_never_take_the_same_number(stack: Any, rid: int) -> None:
    # What other tests have left open is worked off first, for every number that is worked will be counted.
    before = tick(stack, "numbers.sum")
    stack.wait(lambda: worked(stack, before) is not None, within=30)
    first = send(stack, rid, [*range(30_000)], ["sum"] * 30_000)
    assert finished(stack, first) == STORED
    tick(stack, *["numbers.sum"] * 6)
    stack.wait(lambda: all_done(stack, rid), within=30)
    assert shown(stack, rid, "&details=1")["result"] == [*range(2, 30_002)]
    # The clock may have had a hand in it, so its events are counted too.
    status, answer = stack.http("GET", "/v1/events?type=numbers.sum&limit=50")
    assert status == 200
    ticks = [event["id"] for event in answer["events"] if event["id"] > first]
    stack.wait(lambda: worked(stack, ticks) is not None, within=15)
    assert worked(stack, ticks) == 30_000


def worked(stack: Any, ticks: list[str]) -> int | None:
    """How many numbers these ticks have worked; None as long as one of them is open."""
    events = [stack.http("GET", f"/v1/events/{event_id}")[1] for event_id in ticks]
    if any(event["state"] != "succeeded" for event in events):
        return None
    return sum(event["result"]["worked"] for event in events)


# --- what is refused ----------------------------------------------------------------------------------------------

REQUEST: dict[str, Any] = {"rid": 7, "numbers": [51, 52], "jobtodo": ["sum", "mul"]}
UPDATE: dict[str, Any] = {
    "numbers_id": [1, 2],
    "numbers": [51, 52],
    "jobtodo_new": ["sum_Done", "mul_Done"],
    "result": [53, 104],
}


def assert_refused(answer: tuple[int, dict[str, Any]], field: str) -> None:
    """A 422 problem document (RFC 9457) in which the field is named by a JSON pointer."""
    status, problem = answer
    assert status == 422
    assert problem["status"] == 422
    assert f'"/{field}' in json.dumps(problem)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"jobtodo": ["sum"]}, "jobtodo"),
        ({"jobtodo": ["sum", "div"]}, "jobtodo/1"),
        ({"jobtodo": "sum"}, "jobtodo"),
        ({"numbers": [51, True]}, "numbers/1"),
        ({"numbers": [51, "52"]}, "numbers/1"),
        ({"numbers": [None, 52]}, "numbers/0"),
        ({"numbers": [[51], 52]}, "numbers/0"),
        ({"numbers": {"0": 51}}, "numbers"),
        ({"rid": 2**63}, "rid"),
        ({"rid": "9223372036854775808"}, "rid"),
        ({"rid": "seven"}, "rid"),
        ({"rid": True}, "rid"),
        ({"rid": 7.5}, "rid"),
        ({"rid": None}, "rid"),
    ],
)
def test_a_bad_list_is_refused_and_the_field_is_named(stack: Any, change: dict[str, Any], field: str) -> None:
    assert_refused(stack.http("POST", "/number_request", json=REQUEST | change), field)


@pytest.mark.parametrize("field", ["rid", "numbers", "jobtodo"])
def test_a_list_with_a_missing_field_is_refused(stack: Any, field: str) -> None:
    body = {name: value for name, value in REQUEST.items() if name != field}
    assert_refused(stack.http("POST", "/number_request", json=body), field)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_refused(stack: Any, number: str) -> None:
    body = f'{{"rid": 7, "numbers": [51, {number}], "jobtodo": ["sum", "mul"]}}'
    assert_refused(post_text(stack, "/number_request", body), "numbers/1")


def test_a_huge_list_is_refused(stack: Any) -> None:
    body = {"rid": 7, "numbers": [1] * 1_000_001, "jobtodo": ["sum"]}
    assert_refused(stack.http("POST", "/number_request", json=body), "numbers")


@pytest.mark.parametrize("body", ["", "{", "rid=7"])
def test_a_body_that_is_no_json_is_refused(stack: Any, body: str) -> None:
    assert post_text(stack, "/number_request", body)[0] == 400


def test_a_body_that_is_no_object_is_refused(stack: Any) -> None:
    assert stack.http("POST", "/number_request", json=[1])[0] == 422


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"numbers": [51]}, "numbers"),
        ({"jobtodo_new": ["sum_Done"]}, "jobtodo_new"),
        ({"result": []}, "result"),
        ({"numbers_id": [1, 1]}, "numbers_id"),
        ({"numbers_id": [1, "2"]}, "numbers_id/1"),
        ({"numbers_id": [1, 2**63]}, "numbers_id/1"),
        ({"jobtodo_new": ["sum_Done", "done"]}, "jobtodo_new/1"),
        ({"result": [53, "104"]}, "result/1"),
        ({"result": [53, False]}, "result/1"),
    ],
)
def test_a_bad_update_is_refused_and_the_field_is_named(stack: Any, change: dict[str, Any], field: str) -> None:
    assert_refused(stack.http("POST", "/update_request", json=UPDATE | change), field)


@pytest.mark.parametrize(
    ("path", "field"),
    [("/number_request", "rid"), ("/number_request?rid=seven", "rid"), ("/check_request", "taskID")],
)
def test_a_question_without_its_field_is_refused(stack: Any, path: str, field: str) -> None:
    assert_refused(stack.http("GET", path), field)


# --- the clock ----------------------------------------------------------------------------------------------------


def test_the_clock_works_off_what_is_open(stack: Any, rid: int) -> None:
    store(stack, rid, [51, 52], ["sum", "mul"])
    stack.let_time_go_by()
    stack.wait(lambda: all_done(stack, rid), within=15)
    assert shown(stack, rid, "&details=1")["result"] == [53, 104]
