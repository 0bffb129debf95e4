"""Declaring handlers and schedules."""

from __future__ import annotations

import datetime
from typing import Any

import pydantic
import pytest

from schedules import cron, every
from service import plugins
from service.domain import errors, handlers, schedules
from workers import Context, face, handler


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> handlers.Registry:
    monkeypatch.setattr(plugins, "registry", handlers.Registry())
    monkeypatch.setattr(plugins, "calendar", schedules.Calendar())
    return plugins.registry


class Whole(pydantic.BaseModel):
    parts: list[Part]


PARSE_WHOLE = face.parser(Whole)  # As a handler is declared above the classes that its model names.


class Part(pydantic.BaseModel):
    number: int


class Order(pydantic.BaseModel):
    number: int
    lines: list[dict[str, int]] = []


def test_a_handler_is_known_by_its_type_and_stays_a_function(registry: handlers.Registry) -> None:
    @handler("orders.created", payload=Order, bundle=7)
    def work(order: Order, ctx: Context) -> int:
        """Books an order."""
        return order.number

    found = registry.get("orders.created")
    assert (found.bundle, found.doc, found.queue) == (7, "Books an order.", "events")
    assert work(Order(number=3), None) == 3  # type: ignore[arg-type]


def test_a_handler_need_not_take_a_context(registry: handlers.Registry) -> None:
    @handler("orders.created")
    def work(payload: int) -> int:
        return payload + 1

    assert registry.get("orders.created").function(1, None) == 2


def test_a_payload_that_does_not_fit_is_told_with_a_pointer_to_the_field(registry: handlers.Registry) -> None:
    @handler("orders.created", payload=Order)
    def work(order: Order) -> None: ...

    parse = registry.get("orders.created").parse
    assert parse is not None
    assert parse({"number": 3}) == Order(number=3)
    with pytest.raises(errors.InvalidEvent) as caught:
        parse({"lines": [{"a/b~c": "x"}]})
    assert {f.pointer for f in caught.value.faults} == {"/number", "/lines/0/a~1b~0c"}


@pytest.mark.parametrize(
    "options", [{"bundle": 0}, {"bundle": 1001}, {"attempts": 0}, {"no_retry": (SystemExit,)}, {"no_retry": "KeyError"}]
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(errors.DeclarationError, match=next(iter(options))):
        handler("orders.created", **options)


def test_a_model_may_name_classes_that_are_defined_after_the_handler() -> None:
    assert PARSE_WHOLE({"parts": [{"number": 1}]}) == Whole(parts=[Part(number=1)])


def test_functions_that_cannot_be_called_are_refused() -> None:
    with pytest.raises(errors.DeclarationError, match="async def"):

        @handler("a.b")
        async def later(payload: int) -> None: ...

    with pytest.raises(errors.DeclarationError, match="must take the payload"):

        @handler("a.b")
        def nothing() -> None: ...


def test_schedules_are_declared_by_calls() -> None:
    every("5m", "numbers.heartbeat")
    cron("0 9 * * *", "reports.daily", {"kind": "short"}, tz="Europe/Berlin", name="report")
    found = {s.name: s.type for s in plugins.calendar}
    assert found == {"numbers.heartbeat": "numbers.heartbeat", "report": "reports.daily"}
    with pytest.raises(errors.DeclarationError, match="two schedules"):
        every("6m", "numbers.heartbeat")


def endless() -> dict[str, object]:
    found: dict[str, object] = {}
    found["itself"] = found
    return found


@pytest.mark.parametrize(
    "payload",
    [
        {"x": float("nan")},
        {"x": [float("-inf")]},
        {"at": datetime.datetime(2026, 1, 1)},
        {"half": "\ud800"},
        {"nul": "a\0"},
        {"set": {1}},
        endless(),
        [1],
        [],
        "text",
        0,
    ],
)
def test_a_payload_that_the_ledger_cannot_keep_is_refused_with_the_name_of_its_schedule(payload: object) -> None:
    with pytest.raises(errors.DeclarationError, match=r"the schedule report cannot be kept: .+ is wanted"):
        every("5m", "reports.daily", payload, name="report")  # type: ignore[arg-type]
    assert len(plugins.calendar) == 0


def test_any_json_object_is_a_payload() -> None:
    payload = {"text": "ä\\u0000€😀\n", "numbers": [1, -2.5, 1e300], "rest": [True, None, {}]}
    every("5m", "reports.daily", payload)
    [found] = plugins.calendar
    assert found.payload == payload


def test_a_detached_handler_has_a_queue_of_its_own_and_one_event_at_a_time(registry: handlers.Registry) -> None:
    @handler("reports.build", detached=True, queue="reports")
    def work(payload: int, ctx: Context) -> None: ...

    found = registry.get("reports.build")
    assert (found.detached, found.bundle, found.queue) == (True, 1, "reports")


@pytest.mark.parametrize(
    ("options", "why"),
    [({}, "queue"), ({"queue": "reports", "bundle": 2}, "bundle"), ({"queue": "reports", "bulk": True}, "bulk")],
)
def test_a_detached_handler_that_would_stand_in_the_way_is_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(errors.DeclarationError, match=why):
        handler("reports.build", detached=True, **options)
