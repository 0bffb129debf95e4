"""What an operator meets: handlers that fail, dead letters, tickets that are due, and answers."""

from __future__ import annotations

from typing import Any

import pydantic

from tests.ledgers import EFFECT, Ledger, a_release


class Order(pydantic.BaseModel):
    number: int


def fail(payload: Any, ctx: Any) -> None:
    raise RuntimeError("no")


def add(payload: Any, ctx: Any) -> None:
    ctx.session.connection().exec_driver_sql(EFFECT)


def released(ledger: Ledger) -> list[str]:
    return sorted(due.ticket.type for due in a_release(ledger).take_due(256, 600.0))


def dead(ledger: Ledger, type_name: str, *payloads: Any) -> list[str]:
    """Dead letters, made as the road makes them."""
    found = ledger.post(type_name, *payloads)
    ledger.work()
    letters = "select count(*) from millrace.dead where event_id = any(%s::uuid[])"
    while ledger.sql(letters, found) != [(len(found),)]:
        assert ledger.work(), "some are neither dead nor open"  # A bundle was cut, for the machine was slow.
    return found
