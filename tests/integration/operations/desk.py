"""A door on a ledger, with an operator before it, and what the operator meets."""

from __future__ import annotations

from typing import Any

import pydantic
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service import bootstrap, web
from service.ledger import engine as engines
from service.settings import Settings
from tests.ledgers import EFFECT, Ledger, a_release


class Order(pydantic.BaseModel):
    number: int


class Road:
    """A door on a ledger, with an operator before it."""

    def __init__(self, ledger: Ledger) -> None:
        self.settings = Settings.model_construct(database_url=ledger.url)
        self.registry, self.intake, self.publisher = ledger.registry, ledger.intake, ledger.publisher
        self.operations = bootstrap.operations(self.settings, engines.Engine(ledger.url, size=8), ledger.registry)
        self.queries = self.operations.queries

    def client(self) -> FlaskClient:
        client = web.create_app(self).test_client()
        client.environ_base["HTTP_X_PRODUCER"] = "night-shift"
        return client


def fail(payload: Any, ctx: Any) -> None:
    raise RuntimeError("no")


def add(payload: Any, ctx: Any) -> None:
    ctx.session.connection().exec_driver_sql(EFFECT)


def problem(answer: TestResponse, status: int) -> dict[str, Any]:
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json"), answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def document(answer: TestResponse, status: int = 200) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def released(ledger: Ledger) -> list[str]:
    return sorted(due.ticket.type for due in a_release(ledger).take_due(256, 10.0))


def dead(ledger: Ledger, type_name: str, *payloads: Any) -> list[str]:
    """Dead letters, made as the road makes them."""
    found = ledger.post(type_name, *payloads)
    ledger.work()
    assert ledger.sql("select count(*) from millrace.dead where event_id = any(%s::uuid[])", found) == [(len(found),)]
    return found
