"""Lists of events and types: filters, pages, and parameters that cannot be."""

from __future__ import annotations

import pytest

from tests.answers import problem
from tests.integration.api.doors import Api, ok

pytestmark = pytest.mark.postgres


def test_a_list_is_narrowed_by_each_filter_and_by_all_of_them(api: Api) -> None:
    first = api.id(X_Producer="shop")
    dead = api.id("discard")
    api.ledger.work()
    other = api.id(type_name="other", X_Producer="shop")
    last = api.id()
    assert api.found() == [last, other, dead, first]
    assert api.found(type="echo") == [last, dead, first]
    assert api.found(type="nobody.knows") == []
    assert api.found(producer="shop") == [other, first]
    assert api.found(state="succeeded") == [first]
    assert api.found(state="dead") == [dead]
    assert api.found(state="pending") == [last, other]
    assert api.found(state="running") == []
    assert api.found(cursor=dead) == [first]
    assert api.found(type="other", state="pending", producer="shop", since="2020-01-01T00:00:00Z") == [other]


def test_a_list_may_begin_and_end_at_the_instant_of_an_event(api: Api) -> None:
    first, middle, last = (api.id_of_its_own_instant() for _ in range(3))
    instant = api.show(middle)["accepted_at"]
    assert api.found(since=instant) == [last, middle]
    assert api.found(until=instant) == [first]


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999Z", "2020-01-01T00:00:00-14:00"])
def test_an_instant_long_ago_is_before_all_events(api: Api, instant: str) -> None:
    event_id = api.id()
    assert (api.found(since=instant), api.found(until=instant)) == ([event_id], [])


def test_an_instant_far_ahead_is_after_all_events(api: Api) -> None:
    event_id = api.id()
    ahead = "9999-12-31T23:59:59Z"
    assert (api.found(since=ahead), api.found(until=ahead)) == ([], [event_id])


def test_a_list_shows_events_as_each_of_them_is_shown_but_for_its_contents(api: Api) -> None:
    event_id = api.id()
    (listed,) = api.list()["events"]
    shown = api.show(event_id)
    assert listed == {name: value for name, value in shown.items() if name in listed}
    assert shown.keys() - listed.keys() >= {"payload", "result", "error", "attempts"}


def test_pages_miss_and_repeat_nothing_while_events_come_in(api: Api) -> None:
    before = [api.id(number) for number in range(7)]
    seen: list[str] = []
    page = api.list(limit=3)
    while True:
        seen += [found["id"] for found in page["events"]]
        api.id("meanwhile")
        if page["next_cursor"] is None:
            break
        page = api.list(limit=3, cursor=page["next_cursor"])
    assert seen == before[::-1]


def test_a_last_page_that_is_full_has_no_next_one(api: Api) -> None:
    for number in range(3):
        api.id(number)
    assert api.list(limit=3)["next_cursor"] is None
    assert api.list(limit=2)["next_cursor"] == api.list(limit=2)["events"][-1]["id"]
    assert api.list(limit=500, state="dead")["events"] == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "limit=", "limit=99999999999999999999", "state=unknown",
     "state=PENDING", "type=Upper", "type=", f"type={'x' * 101}", "type=%00", "producer=", "producer=a%00b",
     f"producer={'x' * 101}", "since=yesterday", "since=2026-01-01", "since=2026-01-01T00:00:00",
     "until=2026-02-29T00:00:00Z", "until=10000-01-01T00:00:00Z", "cursor=abc", "cursor=-1", "cursor=%27--",
     "cursor=", "page=2", "sort=id", "limit=1&limit=2"],
)  # fmt: skip
def test_a_query_that_cannot_be_answered_names_the_parameter(shared: Api, query: str) -> None:
    found = problem(shared.client.get(f"/v1/events?{query}"), 422)
    assert found["type"] == "/problems/invalid-parameter"
    (fault,) = found["errors"]
    assert fault["parameter"] == query.partition("=")[0]
    assert fault["detail"]


def test_all_bad_parameters_are_named_at_once(shared: Api) -> None:
    found = problem(shared.client.get("/v1/events?limit=x&state=y&type=echo&z=1"), 422)
    assert {fault["parameter"] for fault in found["errors"]} == {"limit", "state", "z"}


def test_the_types_are_listed_with_what_they_ask_for(api: Api) -> None:
    api.ledger.sql("insert into millrace.types (name, paused_at) values ('echo', now())")
    types = {found["name"]: found for found in ok(api.client.get("/v1/types"))["types"]}
    assert list(types) == ["echo", "orders.created", "other"]
    order, echo = types["orders.created"], types["echo"]
    assert (order["doc"], order["queue"], order["paused"]) == ("Takes an order.", "events", False)
    assert order["payload"]["required"] == ["number"]
    assert (echo["queue"], echo["bundle"], echo["attempts"], echo["bulk"]) == ("slow", 7, 2, False)
    assert (echo["payload"], echo["paused"]) == (None, True)
