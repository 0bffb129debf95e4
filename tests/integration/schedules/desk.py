"""A clock on a ledger, and schedules that are made and moved there."""

from __future__ import annotations

import datetime
from typing import Any

import pydantic
from flask.testing import FlaskClient

from service import bootstrap
from service.domain import schedules
from service.ledger import engine as engines
from service.ledger.declared import Declarations
from service.ledger.slots import SlotLedger
from tests.ledgers import Ledger

PLACE = "/v1/schedules"


class Report(pydantic.BaseModel):
    day: int


class Clock:
    """What a clock does about slots, without its threads."""

    def __init__(self, ledger: Ledger, *declared: schedules.Schedule, name: str = "clock") -> None:
        calendar = schedules.Calendar()
        for one in declared:
            calendar.add(one)
        engine, bundle = engines.Engine(ledger.url), bootstrap.bundle_of(ledger.registry)
        self.declarations = Declarations(engine, calendar, clock=name, bundle=bundle)
        self.slots = SlotLedger(engine, self.declarations.calendar, clock=name, bundle=bundle)

    def fire(self) -> list[tuple[str, str, str | None]]:
        """A look: (schedule, outcome, reason) of each slot that it has settled."""
        self.slots.wake_held()
        return [(s.schedule, s.outcome, s.reason) for s in self.slots.fire_due(1000)[0].settled]


def minutely() -> dict[str, Any]:
    """The plan of an instant each minute, of which one has just been: no other one comes while a test is at it."""
    anchor = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=5)
    return {"every": 60, "anchor": anchor.isoformat()}


def create(client: FlaskClient, name: str = "s", **members: Any) -> dict[str, Any]:
    document = {"name": name, "type": "a.tick", "plan": minutely()} | members
    answer = client.post(PLACE, json=document)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def back(ledger: Ledger, seconds: float, name: str = "s") -> None:
    """As if the schedule had been waiting for its instant of so long ago: nobody was there to fire it."""
    ledger.sql(
        "update millrace.schedules set next_due = next_due - make_interval(secs => %s),"
        " planned = planned - make_interval(secs => %s) where name = %s",
        seconds, seconds, name,
    )  # fmt: skip


def slots(ledger: Ledger, name: str = "s") -> list[tuple[str, str | None, int]]:
    """(outcome, reason, missed) of its slots in order."""
    return ledger.sql("select outcome, reason, missed from millrace.slots where schedule = %s order by due_at", name)


def history(client: FlaskClient, name: str = "s") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"{PLACE}/{name}/slots").get_json()["slots"]
    return found
