"""Retention: whole days go, and what is not over stays readable."""

from __future__ import annotations

import math
import time

import psycopg2
import pytest

from service.application import replay
from service.domain import ids
from service.ledger import balance, kept, retention, sweeping
from service.ledger.letters import Filters, LetterLedger
from service.ledger.queries import Queries
from tests import days
from tests.integration.retention.parts import KEEP, OLD, OLDER, YOUNG, clear, clears, count
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


def test_old_days_go_whole_and_what_is_not_over_stays(ledger: Ledger) -> None:
    over = days.fill(ledger, OLD, 100, "succeeded") + days.fill(ledger, OLDER, 5, "expired")
    [replayed] = days.fill(ledger, OLD, 1, "dead", replayed_as=ids.uuid7(time.time()))
    [discarded] = days.fill(ledger, OLD, 1, "dead")
    ledger.sql("update millrace.dead set discarded_at = died_at where event_id = %s", discarded)
    [waiting] = days.fill(ledger, OLD, 1, "pending")
    [letter] = days.fill(ledger, OLD, 1, "dead")
    [late] = days.fill(ledger, OLDER, 1, "succeeded", ended=days.ago(3))  # It was delayed by more than a month.
    young = days.fill(ledger, YOUNG, 10, "succeeded")
    assert clear(ledger) == {OLDER: "removed", OLD: "removed"}

    assert days.partitions(ledger) == {f"events_{YOUNG:%Y%m%d}"}
    left = {row[0] for row in ledger.sql("select id::text from millrace.events")}
    assert left == {waiting, letter, late, *young}
    queries = Queries(ledger.engine)
    found = {i: queries.find(i) for i in (waiting, letter, late)}
    assert [found[i]["state"] for i in found] == ["pending", "dead", "succeeded"]  # type: ignore[index]
    assert [len(found[i]["attempts"]) for i in (letter,)] == [1]  # type: ignore[index]
    # What stood beside the others went, too.
    assert count(ledger, "attempts") == 2 + len(young)
    assert ledger.sql("select event_id::text from millrace.dead") == [(letter,)]
    assert queries.find(over[0]) is queries.find(replayed) is queries.find(discarded) is None
    told = ledger.sql("select day, removed, kept, swept_at is not null from millrace.retention order by day")
    assert told == [(OLDER, 5, 1, True), (OLD, 102, 2, True)]
    assert clear(ledger) == {}

    ledger.check()
    counted = balance.count(ledger.engine)
    assert (counted.unpartitioned, counted.kept) == (0, 3)
    ledger.work()
    assert queries.find(waiting)["state"] == "succeeded"  # type: ignore[index]
    ledger.check()


def test_what_was_kept_goes_when_it_has_been_over_for_long_enough(ledger: Ledger) -> None:
    kept_ones = days.fill(ledger, OLD, 1, "pending") + days.fill(ledger, OLD, 2, "dead")
    clear(ledger)
    ledger.work()
    clear(ledger)
    assert count(ledger, "events_default") == 3, "it has ended today"
    ledger.sql("update millrace.events set finished_at = now() - interval '31 days' where state = 'succeeded'")
    ledger.sql("update millrace.dead set replayed_as = gen_random_uuid() where event_id = %s", kept_ones[1])
    ledger.sql("update millrace.events set replayed_as = gen_random_uuid() where id = %s", kept_ones[1])
    clear(ledger)
    assert ledger.sql("select id::text from millrace.events_default") == [(kept_ones[2],)]
    assert ledger.sql("select event_id::text from millrace.dead") == [(kept_ones[2],)]
    assert count(ledger, "attempts") == 1


def test_a_day_of_which_much_is_kept_is_thinned_and_goes_when_less_is(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MOVED", 3)
    days.fill(ledger, OLD, 50, "succeeded")
    letters = days.fill(ledger, OLD, 5, "dead")
    assert clear(ledger)[OLD] == "thinned"
    table = f"millrace.events_{OLD:%Y%m%d}"
    assert ledger.sql(f"select id::text from {table} order by 1") == [(i,) for i in letters]
    assert count(ledger, "attempts") == 5
    before = ledger.sql(f"select min(ctid), pg_relation_filenode('{table}') from {table}")
    assert clear(ledger)[OLD] == "thinned"
    assert ledger.sql(f"select min(ctid), pg_relation_filenode('{table}') from {table}") == before, "it was done again"
    assert kept.look(ledger.engine, KEEP).overdue == 0
    replayer = replay.Replayer(LetterLedger(ledger.engine), ledger.registry, rate=1000.0)
    assert replayer.some(Filters(), limit=2, by="test").replayed == 2
    assert clear(ledger)[OLD] == "removed"
    told = ledger.sql("select removed, kept from millrace.retention where day = %s", OLD)
    assert told == [(52, 3)]
    ledger.check()


def test_a_day_of_which_too_much_is_kept_stays(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MOST_KEPT", 3)
    days.fill(ledger, OLD, 4, "dead")
    days.fill(ledger, OLD, 4, "succeeded")
    assert clear(ledger)[OLD] == "whole"
    assert count(ledger, "events") == 8


@pytest.mark.parametrize("function", ["remove_day", "thin_day"])
def test_what_was_overlooked_is_not_removed(ledger: Ledger, function: str) -> None:
    """Whoever may call it may still not remove what is open, dead, or young."""
    days.fill(ledger, OLD, 1, "pending")
    days.fill(ledger, OLDER, 1, "dead")
    ledger.post("a.b", 1)
    before = count(ledger, "events")
    for day in (OLD, OLDER, days.ago(0), days.ago(1)):
        with pytest.raises(psycopg2.errors.RaiseException, match=str(day)):
            ledger.sql(f"select millrace.{function}(%s, '{{}}', 1)", day)
    assert count(ledger, "events") == before


def test_a_dry_run_looks_and_changes_nothing(ledger: Ledger) -> None:
    days.fill(ledger, OLD, 5, "succeeded")
    days.fill(ledger, OLD, 1, "dead")
    report = clears(ledger).clear(dry_run=True)
    assert [(d.day, d.events, d.kept, d.word) for d in report.days] == [
        (OLDER, 0, 0, "removed"), (OLD, 6, 1, "removed"),
    ]  # fmt: skip
    assert (count(ledger, "events"), count(ledger, "retention")) == (6, 0)
    assert clears(ledger, keep=math.inf).clear() == retention.Report(None)


def test_a_large_day_is_looked_at_in_pieces(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PIECE", 7)
    monkeypatch.setattr(retention, "LOOK", retention.LOOK.replace("limit 20000", "limit 7"))
    monkeypatch.setattr(sweeping, "PIECE", 7)
    monkeypatch.setattr(sweeping, "ATTEMPTS", sweeping.ATTEMPTS.replace("limit 5000", "limit 7"))
    days.fill(ledger, OLD, 30, "succeeded")
    letters = days.fill(ledger, OLD, 10, "dead")
    assert clear(ledger)[OLD] == "removed"
    assert ledger.sql("select id::text from millrace.events order by id") == [(i,) for i in letters]
    assert count(ledger, "attempts") == 10
