"""What a worker says of a ticket that it cannot work names the ticket, and its event where there is one."""

from __future__ import annotations

import datetime
import json
import logging
import types
import uuid
from typing import Any

import pytest
from celery.exceptions import Reject

from service.broker import message as envelope
from service.domain import errors
from service.domain import ticket as tickets
from service.telemetry import lines, masking
from workers import consumer, tasks

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
IDS = [str(uuid.UUID(int=n)) for n in range(6)]


def delivery(ticket: str, *events: str) -> tickets.Delivery:
    return tickets.Delivery(ticket, "a.b", "events", events, False, NOW)


ONE = delivery(IDS[0], IDS[1])
BUNDLE = delivery(IDS[0], IDS[1], IDS[2])
JOINED = tickets.join([ONE, delivery(IDS[3], IDS[4], IDS[5])])
NAMED = [
    pytest.param(ONE, {"ticket_id": IDS[0], "event_id": IDS[1]}, id="one event"),
    pytest.param(BUNDLE, {"ticket_id": IDS[0], "events": 2}, id="a bundle"),
    pytest.param(JOINED, {"ticket_ids": f"{IDS[0]} {IDS[3]}", "events": 3}, id="joined tickets"),
]


class Broken:
    """An executor that fails as it is told."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def execute(self, _delivery: tickets.Delivery) -> None:
        raise self.error


def said(caplog: pytest.LogCaptureFixture) -> dict[str, dict[str, Any]]:
    """The lines as they are written, by their action."""
    written = lines.Json("worker", masking.Mask([]))
    found = [json.loads(written.format(record)) for record in caplog.records if record.name == "millrace.work"]
    return {line["action"]: line for line in found}


@pytest.mark.parametrize(("one", "named"), NAMED)
@pytest.mark.parametrize(
    ("error", "actions"),
    [
        (RuntimeError("a bug of ours"), {"work.failed", "work.returned"}),
        (errors.LedgerUnavailable("no route to host"), {"work.waiting", "work.returned"}),
    ],
    ids=["a bug", "an outage"],
)
def test_a_ticket_that_is_not_worked_is_named(
    one: tickets.Delivery, named: dict[str, Any], error: Exception, actions: set[str],
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(tasks.TicketTask, "executor", Broken(error))
    task = tasks.TicketTask()
    task.acks_late = True
    task.road = types.SimpleNamespace(settings=types.SimpleNamespace(fault_patience=0.15))  # type: ignore[assignment]
    with pytest.raises(Reject):
        task._work(one)
    found = said(caplog)
    assert found.keys() == actions
    for line in found.values():
        assert named.items() <= line.items()


class Stray:
    """A message on our queue."""

    def __init__(self, headers: Any) -> None:
        self.headers = headers
        self.delivery_info = {"exchange": "millrace.events", "routing_key": "event." + "x" * 500}

    def reject_log_error(self, *_: Any) -> None: ...


@pytest.mark.parametrize(
    ("headers", "ticket"),
    [({"id": IDS[0]}, IDS[0]), ({"id": "../../x"}, None), ({"id": 7}, None), (None, None), ([], None)],
)
def test_a_message_that_is_refused_says_what_it_called_itself(
    headers: Any, ticket: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    refusing = types.SimpleNamespace(connection_errors=())
    with caplog.at_level(logging.WARNING):
        consumer.Consumer._refuse(refusing, Stray(headers), "it is foreign")  # type: ignore[arg-type]
    line = said(caplog)["work.refused"]
    assert line.get("ticket_id") == ticket
    assert line["exchange"] == "millrace.events"
    assert len(line["routing_key"]) == envelope.SHOWN
