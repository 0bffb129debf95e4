"""What the clock's looks find in a real ledger is what is there."""

from __future__ import annotations

import contextlib
from typing import Any

import psycopg2
import pytest

from schedules import looking
from service.domain.outcome import Discard
from service.ledger import engine as engines
from service.ledger import watching
from service.ledger.pauses import PauseLedger
from tests.ledgers import Ledger

TYPE = "looks.some"


@pytest.fixture
def ledger(database: str) -> Ledger:
    found = Ledger(database)
    found.handler(TYPE, _work, bundle=2)
    return found


@pytest.fixture
def watch(database: str) -> watching.LedgerWatch:
    return watching.LedgerWatch(engines.Engine(database))


def _work(payload: Any, ctx: Any) -> Any:
    if payload == "discard":
        return Discard("asked for")
    return None


def test_tickets_are_due_then_out_then_overdue(ledger: Ledger, watch: watching.LedgerWatch) -> None:
    ledger.post(TYPE, 1, 2, 3, 4)
    ledger.until(lambda: watch.count_tickets() == (0, 2, {}, 0))
    ledger.sql("update millrace.tickets set due_at = now() - interval '1 s'")
    assert watch.count_tickets() == (0, 2, {"events": 2}, 0)
    ledger.sql("update millrace.tickets set published_at = null")
    assert watch.count_tickets() == (2, 0, {}, 0)
    ledger.sql("update millrace.tickets set due_at = now() + interval '1 h'")
    assert watch.count_tickets() == (0, 0, {}, 0)


def test_the_oldest_event_that_is_due_is_found_in_each_lane(ledger: Ledger, watch: watching.LedgerWatch) -> None:
    ledger.handler("looks.other", _work, queue="reports")
    ledger.post(TYPE, 1)
    ledger.post("looks.other", 1)
    ledger.post("looks.other", 1, run_at=ledger.sql("select now() + interval '1 h'")[0][0])
    ledger.until(lambda: watch.count_tickets()[1] == 2)
    ledger.sql("update millrace.events set accepted_at = accepted_at - interval '90 s' where type = %s", TYPE)
    found = watch.oldest_waiting()
    assert found.keys() == {("events", TYPE), ("reports", "looks.other")}
    assert 90 <= found["events", TYPE] < 110
    assert found["reports", "looks.other"] < 20
    # A retry waits since it was due again; and one that could not be published waits on.
    ledger.sql("update millrace.events set run_at = now() - interval '30 s'")
    ledger.sql("update millrace.tickets set published_at = null, due_at = now()")
    found = watch.oldest_waiting()
    assert 30 <= found["events", TYPE] < 50
    assert found["reports", "looks.other"] < 20, "it was accepted later than it was asked for"


def test_tickets_of_a_type_whose_window_is_full_are_held(ledger: Ledger) -> None:
    watch = watching.LedgerWatch(engines.Engine(ledger.url), window=4)
    ledger.post(TYPE, 1, 2)
    ledger.until(lambda: watch.count_tickets().out == 1)
    ledger.sql("update millrace.tickets set published_at = null, due_at = now()")
    counted = "insert into millrace.types (name, out_events) values (%s, %s) on conflict (name) do update"
    for out, held in ((3, 0), (4, 1)):
        ledger.sql(f"{counted} set out_events = excluded.out_events", TYPE, out)
        assert watch.count_tickets() == watching.Tickets(due=1, out=0, overdue={}, held=held)
    ledger.sql("update millrace.types set out_events = 2, most_out = 2")
    assert watch.count_tickets().held == 1


@pytest.mark.parametrize("pauses", [("types", TYPE), ("queues", "events")], ids=["type", "queue"])
def test_what_was_paused_waits_and_is_late_from_the_moment_when_it_may_go_on(
    ledger: Ledger, watch: watching.LedgerWatch, pauses: tuple[str, str]
) -> None:
    table, name = pauses
    pause = PauseLedger(engines.Engine(ledger.url), table)
    ledger.post(TYPE, 1, 2)
    ledger.until(lambda: watch.count_tickets().out == 1)
    ledger.sql("update millrace.tickets set published_at = null, due_at = now()")
    pause.pause(name, "night-shift")
    ledger.sql("update millrace.events set accepted_at = accepted_at - interval '2 h'")
    assert pause.resume(name)
    assert watch.oldest_waiting()["events", TYPE] < 60
    [report] = ledger.work()
    assert max(report.waits) < 60
    assert min(report.latencies) > 7200, "they were accepted two hours ago"


def test_a_detached_run_after_a_pause_is_not_late_either(ledger: Ledger) -> None:
    ledger.handler("looks.long", _work, detached=True, queue="reports", bundle=1)
    pause = PauseLedger(engines.Engine(ledger.url), "types")
    ledger.post("looks.long", 1)
    pause.pause("looks.long", None)
    ledger.sql("update millrace.events set accepted_at = accepted_at - interval '2 h'")
    assert pause.resume("looks.long")
    [report] = ledger.work()
    assert max(report.waits) < 60


@pytest.mark.parametrize(("table", "name"), [("types", TYPE), ("queues", "events")])
def test_what_is_paused_is_not_said_to_wait(ledger: Ledger, watch: watching.LedgerWatch, table: str, name: str) -> None:
    ledger.post(TYPE, 1)
    ledger.until(lambda: watch.count_tickets()[1] == 1)
    ledger.sql("update millrace.tickets set published_at = null, due_at = now()")
    assert watch.count_tickets()[0] == len(watch.oldest_waiting()) == 1
    ledger.sql(
        f"insert into millrace.{table} (name, paused_at) values (%s, now())"
        " on conflict (name) do update set paused_at = now()",
        name,
    )
    assert watch.count_tickets()[0] == len(watch.oldest_waiting()) == 0


def test_tallies_are_read_whole_though_a_transaction_was_long(ledger: Ledger, watch: watching.LedgerWatch) -> None:
    ledger.post(TYPE, 1, 2, "discard")
    assert watch.read_tallies() == {(TYPE, "accepted"): 3}
    ledger.work()
    expected = {(TYPE, "accepted"): 3, (TYPE, "done"): 2, (TYPE, "dead"): 1}
    assert watch.read_tallies() == expected
    with contextlib.closing(psycopg2.connect(ledger.url)) as late, late.cursor() as cursor:
        # What is written under an old minute, as by a transaction that began then, is read when it comes.
        cursor.execute("insert into millrace.tallies values (date_trunc('minute', now()), %s, 'done', 5)", (TYPE,))
        assert watch.read_tallies() == expected
        late.commit()
    assert watch.read_tallies() == expected | {(TYPE, "done"): 7}
    assert looking._opened(watch.read_tallies()) == {TYPE: -5}


def test_what_is_closed_is_not_read_again(ledger: Ledger, watch: watching.LedgerWatch) -> None:
    insert = "insert into millrace.tallies values (date_trunc('minute', now() - interval %s), %s, 'accepted', %s)"
    ledger.sql(insert, "3 d", TYPE, 10)
    assert watch.read_tallies() == {(TYPE, "accepted"): 10}
    ledger.sql("delete from millrace.tallies")  # It was folded meanwhile, which changes no sum.
    ledger.sql(insert, "0 s", TYPE, 1)
    assert watch.read_tallies() == {(TYPE, "accepted"): 11}
    assert watch.read_tallies() == {(TYPE, "accepted"): 11}


def test_dead_letters_are_new_once_and_lie_there_until_replayed(ledger: Ledger, watch: watching.LedgerWatch) -> None:
    ledger.post(TYPE, "discard")
    ledger.work()
    first = watch.read_letters()
    assert (first.new, first.unreplayed) == ({}, {"discarded": 1})
    ledger.post(TYPE, "discard", "discard")
    ledger.work()
    found = watch.read_letters()
    assert (found.new, found.unreplayed) == ({(TYPE, "discarded"): 2}, {"discarded": 3})
    assert found.oldest["discarded"] < 100
    first_of_all = "(select min(id::text)::uuid from millrace.events)"
    ledger.sql(f"update millrace.dead set died_at = died_at - interval '25 h' where event_id = {first_of_all}")
    assert 90_000 <= watch.read_letters().oldest["discarded"] < 90_100
    ledger.sql("update millrace.dead set discarded_at = now() where died_at < now() - interval '1 h'")
    assert watch.read_letters().oldest["discarded"] < 100
    ledger.sql("update millrace.dead set replayed_as = gen_random_uuid()")
    assert watch.read_letters() == watching.Letters({}, {}, {})


def test_the_oldest_letter_that_was_not_replayed_is_found_behind_any_number_that_were(
    ledger: Ledger, watch: watching.LedgerWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "LETTERS", 3)
    monkeypatch.setattr(watching, "UNREPLAYED", watching.UNREPLAYED.replace("limit 10000", "limit 3"))
    letter = """
        insert into millrace.dead (event_id, type, reason, died_at, replayed_as)
        select gen_random_uuid(), %s, %s, now() - make_interval(hours => hours), %s::uuid from unnest(%s) hours
    """
    ledger.sql(letter, TYPE, "attempts", None, [30, 9])
    ledger.sql(letter, TYPE, "attempts", "00000000-0000-0000-0000-000000000001", [28, 20, 20, 20, 20, 5, 4, 3])
    ledger.sql(letter, TYPE, "lost", None, [29])
    for _ in range(4):
        found = watch.read_letters()
    for _ in range(4):  # And while the next round is under way.
        assert found.unreplayed == {"attempts": 2, "lost": 1}
        assert found.oldest["attempts"] == pytest.approx(30 * 3600, abs=100)
        assert found.oldest["lost"] == pytest.approx(29 * 3600, abs=100)
        found = watch.read_letters()
    ledger.sql("delete from millrace.dead where reason = 'lost'")
    found = [watch.read_letters() for _ in range(8)][-1]
    assert found.unreplayed == {"attempts": 2}


def test_an_open_event_without_a_ticket_is_found_and_one_that_has_it_again_is_forgotten_at_once(
    ledger: Ledger, watch: watching.LedgerWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "CHECKED", 3)
    monkeypatch.setattr(watching, "CHECK", watching.CHECK.replace("limit 5000", "limit 3"))
    ledger.post(TYPE, *range(8))
    assert [watch.check_tickets() for _ in range(6)] == [(0, 3), (0, 3), (0, 2)] * 2
    ledger.sql("create table kept as select * from millrace.tickets")
    ledger.sql("delete from millrace.tickets where id = (select min(id::text)::uuid from millrace.tickets)")
    assert [watch.check_tickets()[0] for _ in range(6)][2:] == [2] * 4
    monkeypatch.setattr(watching, "LOST", 1)
    bounded = watching.LedgerWatch(engines.Engine(ledger.url))
    assert [bounded.check_tickets()[0] for _ in range(4)][2:] == [1, 1]
    monkeypatch.undo()
    ledger.sql("insert into millrace.tickets select * from kept on conflict do nothing")
    assert watch.check_tickets()[0] == 0


def test_partitions_ahead_are_counted(ledger: Ledger, watch: watching.LedgerWatch) -> None:
    ledger.sql("select millrace.make_partitions(15)")  # A day may have begun since this ledger was made.
    assert watch.partitions_ahead() == 14
    ledger.sql("drop table " + _partition(ledger, 14))
    assert watch.partitions_ahead() == 13


def _partition(ledger: Ledger, ahead: int) -> str:
    day = "to_char((now() at time zone 'UTC')::date + %s, 'YYYYMMDD')"
    return f"millrace.events_{ledger.sql(f'select {day}', ahead)[0][0]}"


def test_a_long_look_is_not_repeated_soon() -> None:
    looked = []
    look = looking.Unhurried(lambda: looked.append(1))
    look(), look()
    assert len(looked) == 2
    look._not_before += 1e6
    look()
    assert len(looked) == 2
