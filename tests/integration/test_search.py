"""The list of events: pages in both directions, every filter, and no plan that reads all of a large table."""

from __future__ import annotations

import datetime
import itertools
import json
import re
import types
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy
from flask.testing import FlaskClient

from service.domain import explain, ids, states
from service.ledger import engine as engines
from service.ledger import explain as explaining
from service.ledger import lanes, searching
from service.local.postgres import PostgresServer
from tests.front import Front
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres

EVENTS = 120_000

#: So many events in the last six hours, one in ten of a rare type; 3 of them dead, the last 20,000 open on tickets of
#: one each, of which half are out.
LOAD = f"""
create temp table n as select i, (lpad(to_hex((extract(epoch from now() - interval '6 h') * 1000)::bigint
    + i * 180), 12, '0') || '7000' || '8000' || lpad(to_hex(i), 12, '0'))::uuid as id
    from generate_series(1, {EVENTS}) i;
insert into millrace.events (id, type, state, ticket_id, payload, producer, attempt)
select id, case when i % 10 = 0 then 'a.rare' else 'a.b' end,
       case when i in (7, 70, 700) then 'dead' when i > {EVENTS - 20_000} then 'pending' else 'succeeded' end,
       id, jsonb_build_object('n', i, 'text', 'Größe ' || i || ' "quoted"'), 'p' || i % 100, 1 from n;
insert into millrace.tickets (id, type, queue, exchange, routing_key, event_ids, due_at, published_at)
select id, 'a.b', 'events', 'x', 'k', array[id], now(), case when i % 2 = 0 then now() - i * interval '1 ms' end
from n where i > {EVENTS - 20_000};
insert into millrace.dead (event_id, type, reason) select id, 'a.rare', 'attempts' from n where i in (7, 70, 700);
insert into millrace.tallies (minute, type, word, n, queue, mark)
select date_trunc('minute', now()), 'a.b', 'done', 1, 'events', now() from n where i < 20000;
analyze millrace.events; analyze millrace.tickets; analyze millrace.dead; analyze millrace.tallies;
"""


@pytest.fixture(scope="module")
def loaded(postgres: PostgresServer, ledger_template: str) -> Iterator[Ledger]:
    """A ledger with many events."""
    postgres.execute(f"create database loaded template {ledger_template}")
    ledger = Ledger(postgres.dsn_of("loaded"))
    ledger.sql("select millrace.make_partitions(2)")
    ledger.sql(LOAD)
    yield ledger
    ledger.close()
    postgres.execute("drop database loaded with (force)")


@pytest.fixture(scope="module")
def client(loaded: Ledger) -> FlaskClient:
    return Front(loaded).client()


def page(client: FlaskClient, **query: Any) -> dict[str, Any]:
    answer = client.get("/v1/events", query_string=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def numbers(found: dict[str, Any]) -> list[int]:
    return [int(event["id"][-12:], 16) for event in found["events"]]


def since() -> str:
    return (datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)).isoformat()


def test_pages_lead_there_and_back_again(client: FlaskClient) -> None:
    first = page(client, limit=3, type="a.rare")
    second = page(client, limit=3, type="a.rare", cursor=first["next_cursor"])
    third = page(client, limit=3, type="a.rare", cursor=second["next_cursor"])
    assert numbers(first) + numbers(second) + numbers(third) == list(range(EVENTS, EVENTS - 90, -10))
    assert page(client, limit=3, type="a.rare", cursor=third["previous_cursor"])["events"] == second["events"]
    back = page(client, limit=500, type="a.rare", cursor=third["previous_cursor"])
    assert back["events"] == first["events"] + second["events"]
    # What comes later is found by who keeps the cursor.
    newest = page(client, limit=500, type="a.rare", cursor=back["previous_cursor"])
    assert (newest["events"], newest["previous_cursor"]) == ([], back["previous_cursor"])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"state": "dead"}, [700, 70, 7]),
        ({"state": "dead", "type": "a.rare"}, [700, 70, 7]),
        ({"state": "dead", "type": "a.b"}, []),
        ({"state": "dead", "producer": "p70"}, [70]),
        ({"state": "running"}, []),
        ({"state": "cancelled", "type": "a.rare"}, []),
        ({"state": "pending", "limit": 2}, [EVENTS, EVENTS - 1]),
        ({"state": "succeeded", "limit": 2}, [EVENTS - 20_000, EVENTS - 20_001]),
        ({"producer": "p70", "type": "a.rare", "limit": 2}, [EVENTS - 30, EVENTS - 130]),
        ({"text": "Größe 70 \\\"QUOTED", "type": "a.rare"}, [70]),
        ({"text": '"n": 70,', "type": "a.rare"}, [70]),
        ({"text": "größe 70 %", "type": "a.rare"}, []),
    ],
)  # fmt: skip
def test_every_filter_finds_what_it_says(client: FlaskClient, query: dict[str, Any], expected: list[int]) -> None:
    if "text" in query:
        query["since"] = since()
    found = page(client, **query)
    assert numbers(found) == expected
    assert found["searched_until"] is None


def test_a_piece_that_takes_too_long_spoils_nothing_that_was_found_before(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, pieces = searching.Search._read, itertools.count()

    def slow(self: searching.Search, piece: int, position: str | None) -> Any:
        if next(pieces):
            self._connection.exec_driver_sql("set local statement_timeout = '20ms'; select pg_sleep(9)")
        return read(self, piece, position)

    monkeypatch.setattr(searching.Search, "_read", slow)
    monkeypatch.setattr(searching, "PIECES", (60, 60))
    found = page(client, producer="p70", type="a.rare", limit=20)
    assert numbers(found) == list(range(EVENTS - 30, EVENTS - 600, -100))
    assert found["searched_until"] is not None


def test_when_the_time_is_up_the_answer_says_how_far_it_has_searched(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "PIECES", (1_000, 1_000))
    # A clock by which each piece takes longer than a page may.
    slow = types.SimpleNamespace(monotonic=itertools.count(0.0, searching.SECONDS).__next__)
    monkeypatch.setattr(searching, "time", slow)
    query = {"type": "a.rare", "text": '"n": 70,', "since": since()}
    found, seen, turns = page(client, **query), [], 0
    while found["next_cursor"]:
        turns += 1
        seen += numbers(found)
        at = datetime.datetime.fromisoformat(found["searched_until"])
        assert at == ids.instant(found["next_cursor"])
        found = page(client, **query, cursor=found["next_cursor"])
    assert turns > 1
    assert (seen + numbers(found), found["searched_until"]) == ([70], None)


@pytest.mark.parametrize("query", [{}, {"type": "a.b"}, {"since": "2026-01-01T00:00:00Z"}], ids=json.dumps)
def test_a_text_is_not_looked_for_in_everything(client: FlaskClient, query: dict[str, str]) -> None:
    answer = client.get("/v1/events", query_string=query | {"text": "x"})
    assert (answer.status_code, answer.get_json()["errors"][0]["parameter"]) == (422, "text")


def plans(engine: engines.Engine, act: Any) -> list[str]:
    """The plans of the questions that ``act`` asks, each under the settings of its transaction."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    def begin(_connection: Any) -> None:
        asked.append(("rollback", ()))

    listeners = {"before_cursor_execute": note, "begin": begin}
    for name, listener in listeners.items():
        sqlalchemy.event.listen(engine.get(), name, listener)
    try:
        act()
    finally:
        for name, listener in listeners.items():
            sqlalchemy.event.remove(engine.get(), name, listener)
    found = []
    with engine.get().connect() as connection:
        for statement, values in asked:
            if statement == "rollback":
                connection.rollback()
            elif statement.strip().startswith("set local"):
                connection.exec_driver_sql(statement)
            else:
                rows = connection.exec_driver_sql(f"explain {statement}", values)
                found.append("\n".join(row[0] for row in rows))
    return found


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/events"), ("GET", "/v1/dead"), ("POST", "/v1/replay"), ("POST", "/v1/cancel")],
)
@pytest.mark.parametrize(
    ("since", "status"),
    [("1973-03-07T09:46:55+22:07", 200), ("0001-01-01T00:00:00Z", 200), ("9999-12-31T23:59:59Z", 200),
     ("0001-01-01T00:00:00+01:00", 422), ("9999-12-31T23:59:59-01:00", 422), ("2027-02-29T00:00:00Z", 422),
     ("2026-01-01T24:00:00Z", 422), ("2026-01-01T00:00:60Z", 422), ("1767225600", 422)],
)  # fmt: skip
def test_an_odd_instant_is_one_or_a_fault(client: FlaskClient, method: str, path: str, since: str, status: int) -> None:
    """PostgreSQL knows no zone that is further than 16 hours away, and Python no year but 1 to 9999."""
    query = {"since": since, "until": since, "limit": "1"} | ({"dry_run": "1"} if method == "POST" else {})
    answer = client.open(path, method=method, query_string=query)
    assert answer.status_code == status, answer.text


LARGE = re.compile(r"Seq Scan on (events|tickets|tallies)")
ID = "select id::text from millrace.events where state = '{}' order by id limit 1 offset 5000"


@pytest.mark.parametrize(
    "query",
    [{}, {"type": "a.rare"}, {"producer": "p7"}, {"type": "a.b", "text": "x", "since": "2026-01-01T00:00:00Z"},
     {"since": "2026-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"},
     *({"state": state} for state in states.State), *({"state": state, "type": "a.b"} for state in states.State)],
    ids=json.dumps,
)  # fmt: skip
def test_no_search_reads_a_whole_table(loaded: Ledger, query: dict[str, Any]) -> None:
    wanted = Front(loaded).client()
    found = plans(loaded.engine, lambda: page(wanted, limit=50, **query))
    assert found
    for plan in found:
        assert not LARGE.search(plan), plan


@pytest.mark.parametrize("state", ["succeeded", "pending"])
def test_an_explanation_reads_no_whole_table(loaded: Ledger, state: str) -> None:
    event_id = loaded.sql(ID.format(state))[0][0]
    ledger = explaining.ExplainLedger(loaded.engine)
    [*_, plan] = plans(loaded.engine, lambda: ledger.record(event_id))
    assert not LARGE.search(plan), plan
    if state == "pending":
        record = ledger.record(event_id)
        assert record is not None
        assert record.ahead_tickets == record.ahead_events == explain.COUNTED
        assert record.rate > 0


def test_the_queues_are_counted_by_their_indexes(loaded: Ledger) -> None:
    ledger = lanes.LaneLedger(loaded.engine)
    found = plans(loaded.engine, lambda: ledger.queues(frozenset({"periodic"})))
    assert not any("Seq Scan on tickets" in plan for plan in found), found
    [events] = [q for q in ledger.queues(frozenset()) if q["name"] == "events"]
    assert (events["due"], events["out"], events["is_more"]) == (lanes.COUNTED, lanes.COUNTED, True)
