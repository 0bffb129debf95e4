"""Schedules as documents: whatever is in them, they are taken or refused with a pointer."""

from __future__ import annotations

from typing import Any

import pytest

from service.application import schedules
from service.domain import durations, errors, handlers

ODD: list[Any] = [
    None, True, 5, -1, float("inf"), float("nan"), "", "x" * 500, [], [1], {}, {"a": 1}, "\0", "\ud800", 10**30,
]  # fmt: skip
PLAIN = {"name": "s", "type": "a.b", "plan": {"every": 60}}
PLANS: list[dict[str, Any]] = [{"cron": "0 0 * * *"}, {"every": 60}, {"at": "2026-01-01T00:00Z"}, {}]


@pytest.fixture(scope="module")
def registry() -> handlers.Registry:
    found = handlers.Registry()
    found.add(handlers.Handler("a.b", print))
    return found


def refused(document: Any, registry: handlers.Registry) -> bool:
    """Whether it is, with pointers to its faults; anything else but a schedule fails the test."""
    faults: list[errors.Fault] = []
    try:
        schedules.read(document, registry)
    except errors.InvalidSchedule as error:
        faults = error.faults
    return bool(faults) and all(fault.pointer == "" or fault.pointer.startswith("/") for fault in faults)


@pytest.mark.parametrize("member", [*schedules.MEMBERS, "colour"])
def test_any_value_of_a_member_is_taken_or_refused(member: str, registry: handlers.Registry) -> None:
    found = [refused(PLAIN | {member: value}, registry) for value in ODD]
    assert found.count(True) >= 9


@pytest.mark.parametrize("member", ["cron", "every", "at", "tz", "anchor", "missing", "doubled"])
def test_any_value_in_a_plan_is_taken_or_refused(member: str, registry: handlers.Registry) -> None:
    found = [refused(PLAIN | {"plan": plan | {member: value}}, registry) for plan in PLANS for value in ODD]
    assert found.count(True) >= 9


def test_a_document_is_an_object(registry: handlers.Registry) -> None:
    assert all(refused(value, registry) for value in ODD)


@pytest.mark.parametrize(
    ("value", "seconds", "text"),
    [
        (90, 90, "90s"),
        ("5m", 300, "5m"),
        ("1.5h", 5400, "90m"),
        ("2d", 172_800, "2d"),
        ("7", 7, "7s"),
        (0.25, 0.25, "0.25s"),
    ],
)
def test_a_length_of_time_is_read_and_told(value: Any, seconds: float, text: str) -> None:
    assert durations.seconds(value) == seconds
    assert durations.text(seconds) == text
