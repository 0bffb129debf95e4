"""Whether a door is alive and ready, and what it answers without its ledger."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from service.local.postgres import PostgresServer
from tests.answers import problem
from tests.integration.api.doors import Api, ok

pytestmark = pytest.mark.postgres


def test_a_door_with_its_ledger_is_ready_before_it_has_met_the_broker(api: Api) -> None:
    assert ok(api.client.get("/healthz")) == {"status": "ok"}
    assert ok(api.client.get("/readyz"))["checks"].items() >= {"ledger": "up", "schema": "ok"}.items()
    api.id()
    api.ledger.until(lambda: ok(api.client.get("/readyz"))["checks"]["broker"] == "up")


def test_a_door_without_a_schema_is_not_ready(empty_database: str) -> None:
    api = Api(empty_database)
    found = problem(api.client.get("/readyz"), 503)
    assert found["checks"].items() >= {"ledger": "up", "schema": "not ready"}.items()
    assert ok(api.client.get("/healthz"))
    api.engine.dispose()


@contextlib.contextmanager
def away(api: Api, server: PostgresServer) -> Iterator[None]:
    """The ledger's database takes no connection meanwhile, and all that there were have ended."""
    name = api.engine.url.database
    server.execute(f"alter database {name} allow_connections false")
    server.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")
    yield
    server.execute(f"alter database {name} allow_connections true")


def test_without_the_ledger_every_answer_is_a_503_that_says_when_to_come_again(
    api: Api, postgres: PostgresServer
) -> None:
    event_id = api.id()
    with away(api, postgres):
        assert ok(api.client.get("/healthz"))
        found = problem(api.client.get("/readyz"), 503)
        assert found["checks"].items() >= {"ledger": "down", "schema": "unknown"}.items()
        assert problem(api.post(1), 503)["stored"] in ("no", "unknown")  # The connection has died in its hands.
        assert problem(api.post(1), 503)["stored"] == "no"
        answers = [api.client.get(place) for place in (f"/v1/events/{event_id}", "/v1/events", "/v1/types")]
        for answer in [*answers, api.client.get("/readyz"), api.post(1)]:
            assert problem(answer, 503)
            assert int(answer.headers["Retry-After"]) >= 1
            assert str(api.engine.url.database) not in answer.text
    assert ok(api.client.get("/readyz"))
    api.id()
    assert api.count() == 2
