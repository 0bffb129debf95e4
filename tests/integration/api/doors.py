"""A door with a real ledger behind it, and the documents that it answers."""

from __future__ import annotations

import json
import time
from typing import Any

import flask
import pydantic
import sqlalchemy
from werkzeug.test import TestResponse

from service import bootstrap, settings, web
from service.application.watch import Watch
from service.domain import outcome
from service.ledger import engine as engines
from service.ledger import queries
from service.web import face
from tests.ledgers import Ledger
from tests.patience import PATIENCE
from workers.face import parser

CLIENTS = 50


class Order(pydantic.BaseModel):
    """An order."""

    number: int
    lines: list[int] = []


def answered(payload: Any, ctx: Any) -> Any:
    """Give the payload back, or do what it says."""
    if payload == "fail":
        raise RuntimeError("as it was told")
    if payload == "discard":
        raise outcome.Discard("nobody wants it")
    return payload


class Api:
    """A door with a real ledger behind it, and the worker's part in the hands of the test."""

    def __init__(self, url: str) -> None:
        self.ledger = Ledger(url)
        self.ledger.handler("orders.created", answered, payload=Order, parse=parser(Order), doc="Takes an order.")
        self.ledger.handler("echo", answered, attempts=2, queue="slow", bundle=7)
        self.ledger.handler("other", answered)
        self.engine = engines.Engine(url, size=4, role="millrace-web")
        # Twins come at once, and a machine that stands still for a moment is no slow ledger.
        given = settings.Settings.model_construct(
            database_url=url, accept_deadline=10.0 * PATIENCE, web_threads=4 * CLIENTS
        )
        road = bootstrap.WebRoad(
            given,
            self.ledger.registry,
            self.engine,
            self.ledger.intake,
            self.ledger.publisher,
            queries.Queries(self.engine),
            Watch(queries.Queries(self.engine), room=1),
            bootstrap.operations(given, self.engine, self.ledger.registry),
        )
        self.app = web.create_app(road)
        self.app.add_url_rule("/use/<then>", view_func=use_session)
        self.client = self.app.test_client()

    def post(self, payload: Any, type_name: str = "echo", key: str | None = None, **headers: str) -> TestResponse:
        """Post an event, from a client of its own."""
        given = {"Idempotency-Key": key} if key is not None else {}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.app.test_client().post(
            f"/v1/events/{type_name}", data=json.dumps(payload), content_type="application/json", headers=given
        )

    def id(self, payload: Any = None, type_name: str = "echo", **headers: str) -> str:
        """The id of an event that is posted and accepted."""
        answer = self.post(payload, type_name, **headers)
        assert answer.status_code == 202, answer.text
        return str(json.loads(answer.data)["id"])

    def id_of_its_own_instant(self) -> str:
        """The id of an event that shares its millisecond, which is how instants are told, with no other one."""
        time.sleep(0.002)
        return self.id()

    def show(self, event_id: str) -> dict[str, Any]:
        """The document of an event."""
        return ok(self.client.get(f"/v1/events/{event_id}"))

    def list(self, **query: Any) -> dict[str, Any]:
        """A page of the list."""
        return ok(self.client.get("/v1/events", query_string=query))

    def found(self, **query: Any) -> list[str]:
        """The ids on a page of the list."""
        return [found["id"] for found in self.list(**query)["events"]]

    def count(self) -> int:
        """How many events the ledger holds."""
        return int(self.ledger.sql("select count(*) from millrace.events")[0][0])

    def assert_at_rest(self) -> None:
        """Whatever was asked, and however it was answered: no session is left open."""
        assert self.engine.get().pool.checkedout() == 0  # type: ignore[attr-defined]


def ok(answer: TestResponse) -> dict[str, Any]:
    """The document of an answer that is a good one."""
    assert (answer.status_code, answer.content_type) == (200, "application/json"), answer.text
    document: dict[str, Any] = json.loads(answer.data)
    return document


def use_session(then: str) -> Any:
    """A view of an app that writes, and then ends in some way."""
    session = face.session()
    session.execute(sqlalchemy.text("update account set balance = balance + 1"))
    if then == "commit":
        session.commit()
    if then == "abort":
        flask.abort(409)
    if then == "fail":
        raise RuntimeError("in a view")
    if then == "break":
        session.execute(sqlalchemy.text("select 1 / 0"))
    if then == "again":
        session.commit()
        session.execute(sqlalchemy.text("update account set balance = balance + 100"))
    return "done"
