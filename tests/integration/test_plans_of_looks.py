"""What clocks look at again and again is found by indexes: no look reads a table of the ledger from end to end.
Nor does what an operator asks in an incident, by the runbooks.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event

from bench import filling
from service.ledger import engine as engines
from service.ledger import kept, upkeep, watching
from service.local.postgres import PostgresServer
from tests.monitoring import rules

EVENTS = 30_000  #: enough for statistics that make an index cheaper than a table
#: Tables that grow with what comes; all others are as long as what was declared.
LONG = ("events", "tickets", "tallies", "dead", "attempts", "slots", "idempotency_keys", "strays")
SCHEDULES = [f"s.{number}" for number in range(100)]
LOOKS: dict[str, Callable[[watching.LedgerWatch, engines.Engine], object]] = {
    "tickets": lambda watch, _: watch.count_tickets(),
    "what waits longest": lambda watch, _: watch.oldest_waiting(),
    "new tallies": lambda watch, _: watch.read_tallies(),
    "dead letters": lambda watch, _: watch.read_letters(),
    "events and their tickets": lambda watch, _: watch.check_tickets(),
    "partitions": lambda watch, _: watch.partitions_ahead(),
    "the past": lambda _, engine: kept.look(engine, 30 * 86_400.0),
    "schedules": lambda _, engine: upkeep.Upkeep(engine).last_success(SCHEDULES),
}
#: Reads that a limit bounds: (look, table) → the limit.
BOUNDED = {
    ("tickets", "tickets"): watching.COUNTED,
    ("the past", "events_default"): watching.COUNTED,
}


#: A ledger whose letters were never looked at.
LETTERS = """
insert into millrace.dead (event_id, type, reason, died_at)
select gen_random_uuid(), 'a.t1', 'failed', now() - make_interval(mins => n) from generate_series(1, 60000) n
"""


class Plans:
    """A ledger with much in it, and the plans of what it is asked."""

    def __init__(self, url: str) -> None:
        self.engine = engines.Engine(url)
        self.watch = watching.LedgerWatch(self.engine)
        self.found: list[dict[str, Any]] = []
        with self.engine.get().begin() as connection:
            #: Partitions for days to come: there is nothing in them that an index could find sooner.
            self.empty = set(connection.exec_driver_sql("select relname from pg_class where relpages = 0").scalars())
        event.listen(self.engine.get(), "before_cursor_execute", self._explain)

    def _explain(self, connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.split(maxsplit=1)[0].lower() in ("select", "with"):
            with connection.connection.dbapi_connection.cursor() as cursor:
                cursor.execute(f"explain (format json) {statement}", values)
                self.found.append(cursor.fetchone()[0][0]["Plan"])

    def scanned(self) -> set[str]:
        """The long tables, and partitions of them, that were read from end to end since the last time."""
        names = {
            node["Relation Name"] for plan in self.found for node in _nodes(plan) if node["Node Type"] == "Seq Scan"
        }
        self.found.clear()
        return {name for name in names - self.empty if name.startswith(LONG)}


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


@pytest.fixture(scope="module")
def plans(postgres: PostgresServer) -> Iterator[Plans]:
    postgres.execute("create database looked_at")
    filling.fill(postgres.dsn_of("looked_at"), EVENTS, lambda _: None)
    postgres.execute(LETTERS, "looked_at")
    postgres.execute("analyze millrace.dead", "looked_at")
    found = Plans(postgres.dsn_of("looked_at"))
    for _ in range(2):  # The first look at the tallies sums all of them, once in a clock's life.
        found.watch.read_tallies()
        found.watch.read_letters()
    found.scanned()
    yield found
    found.engine.dispose()
    postgres.execute("drop database looked_at with (force)")


@pytest.mark.parametrize("name", LOOKS)
def test_a_look_reads_no_table_from_end_to_end(plans: Plans, name: str) -> None:
    LOOKS[name](plans.watch, plans.engine)
    assert plans.found, "nothing was asked"
    assert {table for table in plans.scanned() if (name, table) not in BOUNDED} == set()


#: The checks of runbooks that ask the ledger, and where they stand.
CHECKS = {
    words[-1]: book.stem
    for book in rules.BOOKS
    for words in map(shlex.split, rules.checks(book))
    if words[0] == "psql" and "millrace." in words[-1]
}
#: What is open, and what is dead, may be counted whole.
WHOLE = ("tickets", "dead", "events_default")


@pytest.mark.parametrize("query", [pytest.param(query, id=name) for query, name in CHECKS.items()])
def test_a_check_of_a_runbook_reads_no_long_table_from_end_to_end(plans: Plans, query: str) -> None:
    with plans.engine.get().begin() as connection:
        connection.exec_driver_sql(query.replace("%", "%%"))
    assert plans.found, "nothing was asked"
    assert {table for table in plans.scanned() if not table.startswith(WHOLE)} == set()


@pytest.mark.parametrize("table", ["events", "tickets", "tallies", "dead"])
def test_a_look_that_did_would_be_seen(plans: Plans, table: str) -> None:
    with plans.engine.get().begin() as connection:
        connection.exec_driver_sql(f"select count(*) from millrace.{table} where cast({table} as text) = 'x'")
    assert [name for name in plans.scanned() if name.startswith(table)]
