"""Nobody on the road waits for a process that stands still."""

from __future__ import annotations

import threading

import psycopg2
import pytest

from service.application import ports
from service.application.accept import Intake
from service.application.publish import Publisher, Release
from service.domain import errors, event, processes
from service.ledger import engine as engines
from service.ledger import intake
from service.ledger.intake import IntakeLedger
from service.ledger.processes import ProcessLedger
from service.ledger.release import ReleaseLedger
from service.ledger.upkeep import Upkeep
from tests.ledgers import Ledger, SilentBroker
from tests.patience import PATIENCE, within

pytestmark = pytest.mark.postgres


@pytest.fixture
def ledger(database: str) -> Ledger:
    ledger = Ledger(database)
    ledger.handler("a.a", print, bundle=1)
    ledger.handler("a.b", print, bundle=100)
    return ledger


def a_release(ledger: Ledger, window: int = 20_000) -> ReleaseLedger:
    return ReleaseLedger(ledger.engine, patience=300.0, window=window, forgetful=False)


def due_now(ledger: Ledger) -> None:
    ledger.until(lambda: not ledger.sql("select 1 from millrace.tickets where published_at is null"))
    ledger.sql("update millrace.tickets set due_at = now() - interval '1 s', published_at = null, publishes = 0")


def test_a_mark_does_not_wait_for_a_worker_that_froze_at_its_commit(ledger: Ledger) -> None:
    ledger.post("a.a", 1, 2)
    first, second = (t.ticket for t in ledger.tickets())
    release = a_release(ledger)
    frozen = psycopg2.connect(ledger.url)
    frozen.cursor().execute("delete from millrace.tickets where id = %s", (first,))
    ledger.sql("update millrace.tickets set published_at = null where id = %s", second)
    with within(3.0):
        release.mark_out([(first, 0), (second, 0)])
    frozen.close()
    assert ledger.sql("select published_at is null from millrace.tickets where id = %s", second) == [(False,)]


@pytest.mark.usefixtures("limits_of_production")
def test_a_post_does_not_wait_for_long_for_a_process_that_froze_with_its_key(ledger: Ledger) -> None:
    """It has the key in hand, uncommitted; the server ends its transaction."""
    frozen = psycopg2.connect(ledger.url)
    frozen.autocommit = True
    cursor = frozen.cursor()
    cursor.execute(intake.BEGIN)
    cursor.execute(intake.KEYS, (["me"], ["k"], ["1"], ["00000000-0000-7000-8000-000000000000"]))
    new = event.NewEvent(type="a.a", payload="1", key="k", fingerprint="1", scope="me")
    with within(3.0):
        [accepted] = ledger.intake.submit([new])
    assert not accepted.duplicate
    frozen.close()


def test_partitions_are_made_while_handlers_are_at_work(ledger: Ledger) -> None:
    """And nobody waits behind the one who makes them."""
    [event_id] = ledger.post("a.a", 1)
    [(last,)] = ledger.sql("select max(relname) from pg_class where relname like 'events_2%' and relkind = 'r'")
    ledger.sql(f"drop table millrace.{last}")
    handler = psycopg2.connect(ledger.url)
    handler.cursor().execute("select from millrace.events where id = %s for no key update", (event_id,))
    with within(2.0):
        Upkeep(ledger.engine).make_partitions()
        ledger.post("a.a", 2)
    handler.close()
    assert ledger.sql("select count(*) from pg_class where relname = %s", last) == [(1,)]


def test_days_that_the_default_partition_has_rows_of_do_not_stop_the_others(ledger: Ledger) -> None:
    """No clock has run for a while, and events were taken all the same."""
    names = "select relname from pg_class where relname like 'events_2%' and relkind = 'r' order by 1"
    [(today,)] = ledger.sql("select to_char(now() at time zone 'UTC', '\"events_\"YYYYMMDD')")
    *_, (last,) = ledger.sql(names)
    ledger.sql(f"drop table millrace.{today}")
    ledger.sql(f"drop table millrace.{last}")
    ledger.post("a.a", 1)
    assert ledger.sql("select count(*) from millrace.events_default") == [(1,)]
    Upkeep(ledger.engine).make_partitions()
    assert (last,) in ledger.sql(names)
    ledger.check()


def test_a_window_counts_events_and_not_tickets_and_what_was_just_taken(ledger: Ledger) -> None:
    ledger.post("a.b", *range(1000))
    due_now(ledger)
    release = a_release(ledger, window=250)
    assert [len(d.ticket.event_ids) for d in release.take_due(256, 10.0)] == [100, 100, 100]
    ledger.sql("update millrace.tickets set due_at = now() - interval '1 s'")
    assert release.take_due(256, 10.0) == []


def test_no_type_starves_when_there_are_more_types_than_fit(ledger: Ledger) -> None:
    names = [f"many.t{n}" for n in range(60)]
    for name in names:
        ledger.handler(name, print, bundle=1)
        ledger.post(name, *range(40))
    due_now(ledger)
    release = a_release(ledger)
    taken = [d.ticket.type for _ in range(40) for d in release.take_due(20, 60.0)]
    assert set(taken) == set(names)


def test_a_queue_that_cannot_be_asked_does_not_keep_the_others_from_their_rescue(ledger: Ledger) -> None:
    ledger.post("a.a", 1)
    due_now(ledger)
    ledger.sql("update millrace.tickets set published_at = now() - interval '1 h', due_at = now() - interval '1 min'")
    broker = SilentBroker()
    assert Release(a_release(ledger), broker).run_overdue() == 1
    assert len(broker.published) == 1


def test_stored_is_never_no_when_the_second_try_is_in_doubt(ledger: Ledger) -> None:
    class Unlucky(IntakeLedger):
        """Loses its connection before the first flush stores, and the answer to the second's commit."""

        tries = 0

        def flush(self) -> intake.Flush:
            Unlucky.tries += 1
            if Unlucky.tries == 1:
                raise ports.FlushFailed("gone", in_doubt=False)
            found = super().flush()
            store = found.store

            def store_and_lose(*args: object) -> set[str]:
                store(*args)  # type: ignore[arg-type]
                raise psycopg2.OperationalError("gone")

            found.store = store_and_lose  # type: ignore[method-assign]
            return found

    unlucky = Unlucky(engines.Engine(ledger.url), patience=300.0, window=20_000)
    door = Intake(unlucky, Publisher(lambda: ledger.broker), ledger.registry, deadline=10.0 * PATIENCE, head_start=2.0)
    with pytest.raises(errors.NotAccepted) as told:
        door.submit([event.NewEvent(type="a.a", payload="1")])
    assert ledger.sql("select id::text from millrace.events") == [(i,) for i in told.value.event_ids]
    assert len(told.value.event_ids) == 1


def test_a_request_that_gives_up_in_the_middle_of_a_flush_names_what_may_be_stored(ledger: Ledger) -> None:
    entered, go_on = threading.Event(), threading.Event()

    class Slow(IntakeLedger):
        """Stands still when a flush begins."""

        def flush(self) -> intake.Flush:
            entered.set()
            go_on.wait(10 * PATIENCE)
            return super().flush()

    slow = Slow(engines.Engine(ledger.url), patience=300.0, window=20_000)
    door = Intake(slow, Publisher(lambda: ledger.broker), ledger.registry, deadline=PATIENCE, head_start=2.0)
    with pytest.raises(errors.NotAccepted) as told:
        door.submit([event.NewEvent(type="a.a", payload="1")])
    go_on.set()
    assert entered.is_set()
    assert len(told.value.event_ids) == 1
    ledger.until(lambda: ledger.sql("select id::text from millrace.events") == [(told.value.event_ids[0],)])


def note_worker(ledger: Ledger, *types: str, slots: int = 2) -> None:
    process = processes.Process(processes.Kind.WORKER, "here", 1, "0", types, ("events",), slots)
    ProcessLedger(ledger.engine).note(process, processes.Note(age=1.0))


def measure_and_count(ledger: Ledger, type_name: str, pace: float) -> None:
    """Let the clock know how long an event takes, and count."""
    ledger.sql(
        "insert into millrace.types (name, pace) values (%s, %s) on conflict (name) do update set pace = excluded.pace",
        *(type_name, pace),
    )
    ledger.sql("update millrace.duties set done_at = '-infinity' where name = 'windows'")
    Upkeep(ledger.engine).count_windows()


def out(ledger: Ledger, type_name: str) -> int:
    """How many of its events the door has handed to the broker."""
    return sum(len(ticket.event_ids) for ticket in ledger.broker.published if ticket.type == type_name)


@pytest.mark.parametrize(
    ("pace", "slots", "most"), [(1.0, 2, 6), (60.0, 2, 4), (0.1, 3, 90), (0.00001, 2, 600_000), (None, 2, None)]
)
def test_of_a_slow_type_no_more_is_out_than_its_hands_work_in_three_seconds(
    ledger: Ledger, pace: float | None, slots: int, most: int | None
) -> None:
    note_worker(ledger, "a.a", slots=slots)
    ledger.sql("insert into millrace.types (name, pace) values ('a.a', %s)", pace)
    Upkeep(ledger.engine).count_windows()
    assert ledger.sql("select most_out from millrace.types") == [(most,)]


def test_a_flood_of_a_slow_type_stays_in_the_ledger_and_a_quick_one_goes_past_it(ledger: Ledger) -> None:
    note_worker(ledger, "a.a", "a.b")
    measure_and_count(ledger, "a.a", 1.0)
    measure_and_count(ledger, "a.b", 0.0001)
    ledger.post("a.b", 0)  # A flush tells the door.
    for _ in range(10):
        ledger.post("a.a", *range(10))
        ledger.post("a.b", *range(10))
    ledger.until(lambda: out(ledger, "a.b") == 101)
    assert out(ledger, "a.a") == 6
    assert ledger.sql("select sum(cardinality(event_ids)) from millrace.tickets where type = 'a.a'") == [(100,)]


def test_the_clock_keeps_to_the_window_of_a_slow_type_and_fills_it_again(ledger: Ledger) -> None:
    note_worker(ledger, "a.a")
    ledger.post("a.a", *range(20))
    due_now(ledger)
    measure_and_count(ledger, "a.a", 1.0)
    release = a_release(ledger)
    taken = [due for _ in range(3) for due in release.take_due(256, 10.0)]
    assert len(taken) == 6
    release.mark_out([(due.ticket.id, due.revision) for due in taken])
    for due in taken[:4]:
        ledger.sql("delete from millrace.tickets where id = %s", due.ticket.id)
    measure_and_count(ledger, "a.a", 1.0)
    assert len(release.take_due(256, 10.0)) == 4


def test_a_door_hands_on_nothing_of_a_type_whose_wide_window_is_full(ledger: Ledger) -> None:
    ledger.sql("insert into millrace.types (name, out_events, most_out) values ('a.a', 2000, 2000)")
    ledger.post("a.b", 0)  # A flush tells the door.
    ledger.post("a.a", 0)
    ledger.post("a.b", 0)
    ledger.until(lambda: out(ledger, "a.b") == 2)
    assert out(ledger, "a.a") == 0
