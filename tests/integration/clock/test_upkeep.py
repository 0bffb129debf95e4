"""Upkeep: partitions, windows, old keys and tallies, by one clock at a time."""

from __future__ import annotations

import datetime

import pytest

from service.domain import schedules
from service.ledger.schedules import ScheduleLedger
from service.ledger.upkeep import Upkeep
from service.plans import Interval
from tests.integration.clock.parts import Clock, held
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


def test_partitions_are_made_ahead_and_hold_the_days_of_their_ids(ledger: Ledger) -> None:
    far = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=9)
    ledger.sql(f"drop table millrace.events_{far:%Y%m%d}")
    upkeep = Upkeep(ledger.engine)
    upkeep.make_partitions()
    upkeep.make_partitions()  # Within the hour this asks nothing.
    days = ledger.sql("select count(*) from pg_class where relname like 'events_20%' and relkind = 'r'")
    assert days in ([(16,)], [(17,)])  # A day may have begun since this ledger was made.
    ledger.post("a.a", 1)
    [(table,)] = ledger.sql("select relname from millrace.events e join pg_class c on c.oid = e.tableoid")
    assert table == f"events_{datetime.datetime.now(datetime.UTC):%Y%m%d}"


def test_windows_are_counted_from_what_is_out(ledger: Ledger) -> None:
    ledger.post("a.a", *range(7))
    ledger.until(lambda: not ledger.sql("select 1 from millrace.tickets where published_at is null"))
    Upkeep(ledger.engine).count_windows()
    assert ledger.sql("select name, out_events from millrace.types") == [("a.a", 7)]
    ledger.sql("delete from millrace.tickets")
    ledger.sql("update millrace.duties set done_at = '-infinity'")
    Upkeep(ledger.engine).count_windows()
    assert ledger.sql("select name, out_events from millrace.types") == [("a.a", 0)]


def test_the_last_success_of_each_schedule_is_known(ledger: Ledger) -> None:
    clock = Clock(ledger, *[schedules.Schedule(name, "a.a", Interval(3600)) for name in ("works", "waits")]).declare()
    ledger.sql("update millrace.schedules set next_due = date_trunc('hour', now()) where name = 'works'")
    clock.fire()
    upkeep = Upkeep(ledger.engine)
    assert upkeep.last_success(["works", "waits"]) == {}
    ledger.work()
    [(at,)] = ledger.sql("select extract(epoch from finished_at)::float8 from millrace.events")
    assert upkeep.last_success(["works", "waits"]) == {"works": at}


def test_schedules_that_were_made_at_run_time_and_go_on_are_known(ledger: Ledger) -> None:
    Clock(ledger, schedules.Schedule("declared", "a.a", Interval(3600))).declare()
    operator, upkeep = ScheduleLedger(ledger.engine), Upkeep(ledger.engine)
    for name in ("one", "paused", "two"):
        operator.create(schedules.Schedule(name, "a.a", Interval(3600)), by="ada")
    operator.pause("paused", by="ada")
    assert (upkeep.made(5), upkeep.made(1)) == (["one", "two"], ["one"])


def test_a_success_is_expected_since_the_third_latest_instant_of_what_is_not_paused(ledger: Ledger) -> None:
    clock = Clock(ledger, schedules.Schedule("works", "a.a", Interval(3600))).declare()
    upkeep = Upkeep(ledger.engine)
    [(hour,)] = ledger.sql("select date_trunc('hour', now())::text")
    for ago in (3, 2, 1):
        assert upkeep.expected(["works", "unheard-of"]) == {}
        due = f"timestamptz '{hour}' - interval '{ago} h'"
        ledger.sql(f"update millrace.schedules set next_due = {due}, planned = {due} where name = 'works'")
        ledger.sql(
            "insert into millrace.slots (schedule, due_at, outcome, event_id, clock)"
            f" values ('works', {due}, 'fired', gen_random_uuid(), 'test')"
        )
    [(third,)] = ledger.sql(f"select extract(epoch from timestamptz '{hour}' - interval '3 h')::float8")
    assert upkeep.expected(["works"]) == {"works": third}
    # What was skipped while an event was open was due all the same; what was skipped in a pause was not.
    ledger.sql(
        "insert into millrace.slots (schedule, due_at, outcome, reason, clock)"
        " values ('works', %s::timestamptz, 'skipped', 'paused', 'test')",
        hour,
    )
    assert upkeep.expected(["works"]) == {"works": third}
    ledger.sql("update millrace.slots set reason = 'overlap' where reason = 'paused'")
    assert upkeep.expected(["works"]) == {"works": third + 3600}
    ledger.sql("insert into millrace.types (name, paused_at) values ('a.a', now())")
    assert upkeep.expected(["works"]) == {}
    ledger.sql("update millrace.types set paused_at = null")
    ledger.sql("update millrace.schedules set paused_at = now()")
    assert upkeep.expected(["works"]) == {}
    assert clock is not None


def watch_deletes(ledger: Ledger, table: str, what: str) -> None:
    """Note ``what`` about the rows that each delete takes: select it with DELETES."""
    ledger.sql("create table deletes (n bigint)")
    ledger.sql(
        "create function note() returns trigger language plpgsql as"
        f" $$ begin insert into deletes select {what} from gone; return null; end $$"
    )
    ledger.sql(
        f"create trigger note after delete on {table} referencing old table as gone"
        " for each statement execute function note()"
    )


DELETES = "select max(n) from deletes"


def test_old_keys_are_deleted_as_fast_as_they_come_and_in_small_transactions(ledger: Ledger) -> None:
    keys = (
        "insert into millrace.idempotency_keys select 'test', %s || n, '', gen_random_uuid(), now() - interval %s"
        " from generate_series(1, %s) n"
    )
    ledger.sql(keys, "old", "26 hours", 12_000)
    ledger.sql(keys, "young", "23 hours", 10)
    watch_deletes(ledger, "millrace.idempotency_keys", "count(*)")
    upkeep = Upkeep(ledger.engine)

    def only_young_are_left() -> bool:
        upkeep.forget_keys()
        return ledger.sql("select count(*) from millrace.idempotency_keys") == [(10,)]

    ledger.until(only_young_are_left)
    assert ledger.sql(DELETES) == [(5000,)]


def test_old_tallies_are_folded_into_one_row_a_day_by_the_hour_and_their_sum_stays(ledger: Ledger) -> None:
    ledger.sql(
        "insert into millrace.tallies (minute, type, word, n, queue, mark)"
        " select date_trunc('day', now()) - make_interval(days => day, mins => 7 * minute), type, 'done', 2, 'events',"
        "  now() from generate_series(1, 2) day, generate_series(1, 200) minute, unnest('{a.a,a.b}'::text[]) type"
    )
    recent = "select count(*) from millrace.tallies where minute >= date_trunc('day', now()) - interval '1 day'"
    before = ledger.sql(recent)
    watch_deletes(ledger, "millrace.tallies", "count(distinct date_trunc('hour', minute))")
    upkeep = Upkeep(ledger.engine)

    def all_are_folded() -> bool:
        upkeep.fold_tallies()
        return ledger.sql("select count(*) from millrace.tallies where mark is not null") == before

    ledger.until(all_are_folded)
    folded = (
        "select count(*), count(distinct (minute, type, word)), sum(n) from millrace.tallies where minute <"
        " date_trunc('day', now()) - interval '1 day'"
    )
    assert ledger.sql(folded) == [(4, 4, 2 * (800 - before[0][0]))]
    assert ledger.sql(recent) == before
    assert ledger.sql(DELETES) == [(2,)]  # The hour, and the row of its day.


def test_a_duty_is_done_by_one_clock_at_a_time_and_rests_when_nothing_is_left(ledger: Ledger) -> None:
    upkeep = Upkeep(ledger.engine)
    done_at = "select done_at from millrace.duties where name = 'keys'"
    before = ledger.sql(done_at)
    with held(ledger, "millrace.duties where name = 'keys'"):
        upkeep.forget_keys()
        assert ledger.sql(done_at) == before
    upkeep.forget_keys()
    after = ledger.sql(done_at)
    upkeep.forget_keys()
    assert before < after == ledger.sql(done_at)
