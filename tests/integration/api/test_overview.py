"""The overview and what else the console alone had: the same figures for programs."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import msgspec
import pytest

from service.application import overview
from service.domain import processes
from service.domain.access import Role
from service.ledger.processes import ProcessLedger
from service.web.openapi import examples, figured
from tests.entrance import Entrance
from tests.integration.api.doors import Api, ok
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres

CLOCK = """
insert into millrace.clocks (name, calendar) values ('h:7', 'x');
insert into millrace.schedules (name, type, spec, next_due)
values ('nightly', 'echo', '{"type": "echo", "plan": {"cron": "0 3 * * *"}, "payload": {}}', now() + interval '1 hour');
insert into millrace.slots (schedule, due_at, outcome, clock, event_id, late)
values ('nightly', now() - interval '5 minutes', 'fired', 'h:7', gen_random_uuid(), 0.25);
"""


def ask(api: Api, path: str) -> dict[str, Any]:
    found: dict[str, Any] = ok(api.client.get(path))
    return found


def unknown_members(document: Any, shape: Any, place: str = "") -> set[str]:
    """Members of an answer that its shape does not have."""
    if isinstance(document, list):
        (inner,) = shape.__args__ if hasattr(shape, "__args__") else (None,)
        return {name for one in document for name in unknown_members(one, inner, place)}
    if not isinstance(document, dict) or not (isinstance(shape, type) and issubclass(shape, msgspec.Struct)):
        return set()
    known = {field.encode_name: field.type for field in msgspec.structs.fields(shape)}
    found = {f"{place}/{name}" for name in document.keys() - known.keys()}
    for name, value in document.items():
        found |= unknown_members(value, _plain(known.get(name)), f"{place}/{name}")
    return found


def _plain(hint: Any) -> Any:
    return _plain(hint.__origin__) if hasattr(hint, "__metadata__") else hint


def test_the_overview_says_what_waits_where_for_how_long_and_what_wants_attention(api: Api) -> None:
    for payload in ("discard", "discard", 1):
        api.post(payload)
    api.ledger.work()
    api.post(2, "other")
    assert api.client.post("/v1/events/other?delay=3600", json=3).status_code == 202
    api.ledger.until(lambda: api.ledger.sql("select 1 from millrace.tickets where published_at is not null") != [])
    api.ledger.sql(CLOCK)
    api.client.post("/v1/types/echo/pause?because=the+relay+is+down", headers={"X-Producer": "ada"})
    ProcessLedger(api.engine).note(
        processes.Process(processes.Kind.WORKER, "h", 8, "1", ("echo",), ("slow",), 4),
        processes.Note(1.0, None, (processes.Held(9, "other", "019a0000-0000-7000-8000-000000000000", 1, 0.5),)),
    )
    found = ask(api, "/v1/overview")
    assert unknown_members(found, figured.Overview) == set()
    msgspec.convert(found, figured.Overview)
    assert found["sentence"] == "Flowing; two things want a look"
    paused, dead, *_ = found["attention"]
    assert (paused["what"], paused["subject"], paused["links"]) == ("type_paused", "echo", {"look": "/v1/pauses"})
    assert (paused["facts"]["by"], paused["facts"]["because"]) == ("ada", "the relay is down")
    assert (dead["what"], dead["facts"]["count"]) == ("dead_letters", 2)
    assert len(ask(api, dead["links"]["look"])["dead"]) == 2
    assert {word: found["flow"][word]["last_hour"] for word in overview.WORDS} == {
        "accepted": 5, "done": 1, "retry": 0, "dead": 2,
    }  # fmt: skip
    assert len(found["flow"]["minutes"]) == 60
    assert {name: found["open"][name] for name in ("events", "due", "later", "out", "exact")} == {
        "events": 2, "due": 0, "later": 1, "out": 1, "exact": True,
    }  # fmt: skip
    assert found["open"]["out_for"] > 0
    queues = {one["name"]: one for one in found["queues"]}
    assert {"events", "periodic", "slow"} <= queues.keys()
    assert sum(one["out"] for one in queues.values()) == 1
    types = {one["name"]: one for one in found["types"]}
    assert (types["echo"]["dead"], types["echo"]["paused_by"]) == (2, "ada")
    assert (types["other"]["open"], types["other"]["later"]) == (2, 1)
    assert types["other"]["oldest"] > 0
    assert found["processes"] == {"workers": 1, "places": 4, "busy": 1, "clocks": 0, "webs": 0}
    assert [one["schedule"] for one in found["coming"]] == ["nightly"]
    assert ask(api, "/v1/overview?")["dead"] == {"open": 2, "exact": True, "strays": 0}
    assert api.client.get("/v1/overview?type=echo").status_code == 422
    page = api.client.get("/console").text
    assert found["sentence"] in page
    assert f'<strong><a href="/console/events?type=echo&amp;state=pending">echo</a> {paused["title"]}' in page
    api.client.post("/v1/types/echo/resume")
    api.ledger.sql("delete from millrace.schedules; delete from millrace.slots")


def test_the_example_in_the_document_is_of_its_shape() -> None:
    assert unknown_members(examples.OVERVIEW, figured.Overview) == set()
    msgspec.convert(examples.OVERVIEW, figured.Overview)
    for shape, figures in (
        (figured.TypeFigures, overview.TypeFigures),
        (figured.QueueFigures, overview.QueueFigures),
        (figured.Living, overview.Hands),
    ):
        assert set(shape.__struct_fields__) == {field.name for field in dataclasses.fields(figures)}


def test_dead_letters_are_grouped_as_the_console_groups_them(api: Api) -> None:
    ids = [api.id("discard") for _ in range(3)]
    api.ledger.work()
    found = ask(api, "/v1/dead/groups")
    assert unknown_members(found, figured.Groups) == set()
    [group] = found["groups"]
    assert (group["type"], group["reason"], group["count"]) == ("echo", "discarded", 3)
    assert group["message"] == "nobody wants it"
    assert group["example"] in ids
    assert ask(api, group["links"]["example"])["state"] == "dead"
    assert (found["open"], found["exact"], found["grouped"], found["strays"]) == (3, True, True, 0)


def test_a_clock_says_what_it_has_fired(api: Api) -> None:
    for pid in (7, 8):
        ProcessLedger(api.engine).note(
            processes.Process(processes.Kind.CLOCK, "h", pid, "1", ()), processes.Note(1.0, None, ())
        )
    api.ledger.sql(CLOCK)
    one, other = ask(api, "/v1/clocks")["processes"]
    assert (one["fired"], other["fired"]) == ({"slots": 1, "late": 0.25}, {"slots": 0, "late": None})
    assert "250 ms" in api.client.get("/console/workers").text
    api.ledger.sql("delete from millrace.schedules; delete from millrace.slots")


def test_a_list_says_how_many_there_are_if_it_is_asked(api: Api) -> None:
    for number in range(3):
        api.id(number)
    assert ask(api, "/v1/events?limit=1")["found"] is None
    first = ask(api, "/v1/events?limit=1&count=true")
    assert first["found"] == {"number": 3, "exact": True}
    assert ask(api, f"/v1/events?limit=1&count=1&cursor={first['next_cursor']}")["found"]["number"] == 3
    assert ask(api, "/v1/events?state=dead&count=true")["found"] == {"number": 0, "exact": True}
    assert api.client.get("/v1/events?count=maybe").status_code == 422


def test_a_traceback_is_shown_to_who_may_read_and_not_to_a_producer(database: str) -> None:
    ledger = Ledger(database)

    def fail(payload: Any, ctx: Any) -> None:
        raise RuntimeError("as it was told")

    ledger.handler("orders.created", fail, attempts=1)
    entrance = Entrance(ledger)
    key = entrance.keys[Role.PRODUCER]
    event_id = json.loads(entrance.ask("POST", "/v1/events/orders.created", key, json={}).data)["id"]
    ledger.work()
    [seen] = json.loads(entrance.as_(Role.VIEWER, "GET", f"/v1/events/{event_id}").data)["attempts"]
    assert "in fail" in seen["traceback"]
    [own] = json.loads(entrance.as_(Role.PRODUCER, "GET", f"/v1/events/{event_id}").data)["attempts"]
    assert own == {name: value for name, value in seen.items() if name != "traceback"}


def test_a_producer_is_told_no_figures(database: str) -> None:
    entrance = Entrance(Ledger(database))
    for path in ("/v1/overview", "/v1/dead/groups"):
        assert entrance.as_(Role.PRODUCER, "GET", path).status_code == 403
        assert entrance.as_(Role.VIEWER, "GET", path).status_code == 200
        assert entrance.ask("GET", path).status_code == 401
