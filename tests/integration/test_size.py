"""What the road does to its tables: outcomes that touch no index, statements that read no table from end to end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from service.ledger import engine as engines
from service.ledger import fence, transactions
from service.ledger.release import ReleaseLedger
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres

#: So many events of about 500 bytes that nobody has worked, so many of them on a ticket.
FILL = """
with event as (
    insert into millrace.events (id, type, ticket_id, payload, producer, request_id)
    select (lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
            || '7' || lpad(to_hex(n %% 4096), 3, '0') || '8' || lpad(to_hex(n), 15, '0'))::uuid,
           'a.bulk', ('018f0000-0000-7000-8000-' || lpad(to_hex(n / %s), 12, '0'))::uuid,
           jsonb_build_object('note', repeat(md5(n::text), 10)), 'test', md5(n::text)
    from generate_series(1, %s) as n returning id, ticket_id)
insert into millrace.tickets (id, type, queue, exchange, routing_key, event_ids)
select ticket_id, 'a.bulk', 'events', 'millrace.events', 'event.a.bulk', array_agg(id) from event group by ticket_id
"""
HOT = """
select sum(n_tup_upd)::int, sum(n_tup_hot_upd)::int from pg_stat_user_tables
where schemaname = 'millrace' and relname like 'events%'
"""
SCANS = """
select relname, seq_scan from pg_stat_user_tables
where schemaname = 'millrace' and (relname like 'events%' or relname = 'tickets')
"""
BY_TYPE = "select sum(idx_scan)::int from pg_stat_user_indexes where indexrelname like 'events%type_id_idx'"
NAMED = "select idx_tup_read::int from pg_stat_user_indexes where indexrelname = 'tickets_pkey'"
EVENTS = 5_000
#: As if everything were so large that a plan is worth compiling, and worth more processes.
EAGER = """
set local jit_above_cost = 0; set local parallel_setup_cost = 0; set local parallel_tuple_cost = 0;
set local min_parallel_table_scan_size = 0
"""


@pytest.fixture
def ledger(database: str) -> Ledger:
    found = Ledger(database)
    found.handler("a.bulk", lambda events, ctx: None, bulk=True)
    found.handler("a.b", lambda payload, ctx: None)
    return found


def fill(ledger: Ledger, *, bundle: int, analyzed: tuple[str, ...] = ("events", "tickets")) -> None:
    ledger.sql(FILL, bundle, EVENTS)
    for table in analyzed:
        ledger.sql(f"analyze millrace.{table}")


def all_told(ledger: Ledger) -> None:
    """A session tells what it did when it ends, which is a little after its client has gone."""
    sessions = "select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    ledger.until(lambda: not ledger.sql(f"{sessions} and backend_type = 'client backend'"))


def test_outcomes_touch_no_index(ledger: Ledger) -> None:
    fill(ledger, bundle=25)
    ledger.work()
    ledger.close()
    all_told(ledger)
    [(updates, hot)] = ledger.sql(HOT)
    assert updates == EVENTS
    # A page takes as many rows as it has room for once more; a few of the last do not fit.
    assert hot > 0.9 * updates


def test_a_bundle_of_a_new_day_is_found_by_its_ids_alone(ledger: Ledger) -> None:
    fill(ledger, bundle=50, analyzed=())
    ledger.work()
    ledger.close()
    all_told(ledger)
    assert ledger.sql(BY_TYPE) == [(0,)]


def test_no_statement_of_the_road_reads_a_table_from_end_to_end(ledger: Ledger) -> None:
    fill(ledger, bundle=1)
    all_told(ledger)
    before = dict(ledger.sql(SCANS))
    engine = engines.Engine(ledger.url)
    release = ReleaseLedger(engine, patience=300, window=20_000, forgetful=False)
    for _ in range(5):
        ledger.post("a.b", 1, 2, 3)
        due = release.take_due(20, 10)
        release.mark_out([(d.ticket.id, d.revision) for d in due])
        release.take_overdue("events", True, 20, 10)
        release.overdue_queues()
    deliveries = ledger.tickets()[:20]
    for delivery in deliveries:
        ledger.executor.execute(delivery)
    engine.dispose()
    ledger.close()
    all_told(ledger)
    after = dict(ledger.sql(SCANS))
    read = {name: after[name] - before.get(name, 0) for name in after}
    # The test itself has read the tickets once.
    assert {name: n for name, n in read.items() if n > (name == "tickets")} == {}


def test_a_flood_after_a_quiet_time_is_found_by_indexes(ledger: Ledger) -> None:
    """Statistics were taken while no ticket was there, and say so until there are others."""
    fill(ledger, bundle=1)
    ledger.sql("truncate millrace.events")
    ledger.sql("delete from millrace.tickets")
    ledger.sql("analyze millrace.tickets")
    fill(ledger, bundle=1, analyzed=())
    all_told(ledger)
    before = dict(ledger.sql(SCANS))
    engine = engines.Engine(ledger.url)
    release = ReleaseLedger(engine, patience=0, window=20_000, forgetful=False)
    due = release.take_due(200, 10)
    release.give_back([(d.ticket.id, d.revision) for d in due])
    release.mark_out([(d.ticket.id, d.revision) for d in due])
    over = release.take_overdue("events", True, 200, 10)
    engine.dispose()
    all_told(ledger)
    assert (len(due), len(over)) == (200, 200)
    [(read,)] = ledger.sql(NAMED)
    assert read < EVENTS  # Each of them, by each statement, and not each ticket that there is.
    assert dict(ledger.sql(SCANS))["tickets"] <= before["tickets"]


@pytest.mark.parametrize("begin", [fence.transaction, transactions.begin])
def test_questions_wait_for_no_compiler_and_no_process(ledger: Ledger, begin: Callable[..., Any]) -> None:
    """Each takes some ten milliseconds to start, and what is asked of a large ledger has ended by then."""
    engine = engines.Engine(ledger.url)
    with begin(engine) as connection:
        connection.exec_driver_sql(EAGER)
        plan = connection.exec_driver_sql("explain (analyze) select count(*) from millrace.events").scalars().all()
    engine.dispose()
    assert [line for line in plan if "Gather" in line or "JIT" in line] == []
    assert any("Scan" in line for line in plan)
