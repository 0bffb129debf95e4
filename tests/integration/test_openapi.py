"""The API's document: complete, and true for whatever is sent by it (schemathesis)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis
import pydantic
import pytest
import schemathesis
from hypothesis import strategies
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi

from service.domain import processes
from service.ledger.processes import ProcessLedger
from service.local.postgres import PostgresServer
from service.web import errors
from service.web.openapi import document, operations
from tests.front import Front
from tests.ledgers import Ledger
from tests.memory import Road
from workers.face import parser

SHORT, LONG = 6, 60  #: requests for each operation


class Line(pydantic.BaseModel):
    """A part of an order."""

    article: str
    pieces: int = 1


class Order(pydantic.BaseModel):
    """An order."""

    order: int
    lines: list[Line] = []


@pytest.fixture(scope="module")
def front(postgres: PostgresServer, ledger_template: str) -> Iterator[Front]:
    """A door with something of everything behind it."""
    postgres.execute(f"create database openapi template {ledger_template}")
    ledger = Ledger(postgres.dsn_of("openapi"))
    ledger.handler(
        "orders.created", lambda payload, ctx: None, payload=Order, parse=parser(Order), doc="Take an order."
    )
    ledger.handler("orders.shipped", _fail, attempts=1)
    front = Front(ledger, access_secret=("a-secret-for-tests-" + "x" * 20,))
    client = front.client()
    client.post("/v1/events/orders.created", json={"order": 7})
    client.post("/v1/events/orders.shipped", json={"order": 7})
    ledger.work()
    client.post("/v1/events/orders.created?delay=3600", json={"order": 8})
    assert client.post("/v1/schedules", json=operations.SCHEDULE).status_code == 201
    assert client.post("/v1/schedules/preview", json=operations.PLAN).status_code == 200
    client.post("/v1/schedules/nightly/run")
    client.post("/v1/types/orders.shipped/pause")
    held = processes.Held(7, "orders.created", "019a0000-0000-7000-8000-000000000000", 1, 0.5)
    for kind in processes.Kind:
        process = processes.Process(kind, "h", 7, "1", ("orders.created",))
        ProcessLedger(ledger.engine).note(process, processes.Note(1.0, None, (held,)))
    ledger.sql(
        "insert into millrace.strays (queue, reason, properties, headers, body) values ('events', 'x', '{}', '{}', 'x')"
    )
    yield front
    ledger.close()
    postgres.execute("drop database openapi with (force)")


def _fail(payload: Any, ctx: Any) -> None:
    raise RuntimeError("boom")


@pytest.fixture(scope="module")
def schema(front: Front) -> Any:
    """The document, as schemathesis reads it."""
    return schemathesis.openapi.from_wsgi("/openapi.json", front.client().application)


@pytest.fixture(scope="module")
def there(front: Front) -> dict[str, list[str]]:
    """Parameter of a path → what is there of its kind, to be asked for among what is made up."""
    rows = front.ledger.sql("select id::text from millrace.events")
    strays = front.ledger.sql("select id::text from millrace.strays")
    names = ["orders.created", "orders.shipped", "nightly", "events"]
    keys = [front.operations.keys.create(name=f"k{n}", role="viewer", by="test")["id"] for n in range(2)]
    return {"event_id": [*(r[0] for r in rows), *names[:2]], "stray_id": [strays[0][0]], "name": names, "key_id": keys}


CHECKS = [
    checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_schema_conformance,
    openapi.allow_header_conformance,
]
OPERATIONS = [
    f"{method} {path}" for path, item in document.build(Road().client().application, ()).get("paths").items()
    for method in item
]  # fmt: skip


def fuzz(schema: Any, there: dict[str, list[str]], label: str, examples: int) -> None:
    """Send what the document allows, and what it does not."""
    method, _, path = label.partition(" ")
    operation = schema[path][method]
    good, bad = (operation.as_strategy(generation_mode=m) for m in schemathesis.GenerationMode)

    @hypothesis.settings(
        max_examples=examples, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    @hypothesis.given(case=good | bad, data=strategies.data())
    def check(case: Any, data: Any) -> None:
        for name in case.path_parameters or {}:
            if data.draw(strategies.booleans()):
                case.path_parameters[name] = data.draw(strategies.sampled_from(there[name]))
        response = case.call_and_validate(checks=CHECKS)
        if response.status_code >= 400:
            assert response.headers["content-type"] == [errors.MEDIA_TYPE]
            assert response.json()["status"] == response.status_code

    check()


@pytest.mark.postgres
@pytest.mark.parametrize("label", OPERATIONS)
def test_no_request_meets_an_answer_that_the_document_does_not_have(
    schema: Any, there: dict[str, list[str]], label: str
) -> None:
    fuzz(schema, there, label, SHORT)


@pytest.mark.postgres
@pytest.mark.heavy
@pytest.mark.parametrize("label", OPERATIONS)
def test_no_request_of_very_many_does_either(schema: Any, there: dict[str, list[str]], label: str) -> None:
    fuzz(schema, there, label, LONG)
