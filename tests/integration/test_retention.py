"""Retention: whole days go, what is not over stays readable, and nobody on the road waits for it."""

from __future__ import annotations

import contextlib
import datetime
import math
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from click.testing import CliRunner

from service import bootstrap, cli, doctor
from service.application import replay
from service.domain import errors, ids, keeping
from service.ledger import balance, kept, retention, sweeping
from service.ledger import engine as engines
from service.ledger.letters import Filters, LetterLedger
from service.ledger.queries import Queries
from service.ledger.upkeep import Upkeep
from service.settings import Settings
from tests import days
from tests.front import Front
from tests.ledgers import Ledger
from tests.patience import PATIENCE, wait

pytestmark = pytest.mark.postgres

KEEP = 30 * 86_400.0
OLD, OLDER, YOUNG = days.ago(40), days.ago(41), days.ago(29)


@pytest.fixture
def ledger(database: str) -> Ledger:
    found = Ledger(database)
    found.handler("a.old", lambda payload, ctx: None)
    found.handler("a.b", lambda payload, ctx: None)
    for day in (OLD, OLDER, YOUNG):
        days.make(found, day)
    return found


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few looks for a quiet moment."""
    monkeypatch.setattr(retention, "LOOKS", 3)


def clears(ledger: Ledger, *, keep: float = KEEP, by: str = "test") -> retention.Retention:
    return retention.Retention(engines.Engine(ledger.url), keep=keep, by=by)


def clear(ledger: Ledger) -> dict[datetime.date, str]:
    """One whole round: day → word."""
    found = clears(ledger)
    assert found.take(now=True)
    report = found.clear()
    found.done(report)
    return {day.day: day.word for day in report.days}


def count(ledger: Ledger, table: str) -> int:
    return int(ledger.sql(f"select count(*) from millrace.{table}")[0][0])


def test_old_days_go_whole_and_what_is_not_over_stays(ledger: Ledger) -> None:
    over = days.fill(ledger, OLD, 100, "succeeded") + days.fill(ledger, OLDER, 5, "expired")
    [replayed] = days.fill(ledger, OLD, 1, "dead", replayed_as=ids.uuid7(time.time()))
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
    assert queries.find(over[0]) is queries.find(replayed) is None
    told = ledger.sql("select day, removed, kept, swept_at is not null from millrace.retention order by day")
    assert told == [(OLDER, 5, 1, True), (OLD, 101, 2, True)]
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


@contextlib.contextmanager
def transaction(ledger: Ledger, statement: str, *values: Any) -> Iterator[None]:
    """Somebody's transaction that stays open for as long as the block lasts."""
    with contextlib.closing(psycopg2.connect(ledger.url)) as other:
        other.cursor().execute(statement, values)
        yield
        other.rollback()


@contextlib.contextmanager
def posts(ledger: Ledger) -> Iterator[list[float]]:
    """Events are posted and worked all the time; how many seconds each took."""
    took: list[float] = []
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(0.01):
            begin = time.monotonic()
            ledger.post("a.b", 1)
            ledger.work()
            took.append(time.monotonic() - begin)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield took
    finally:
        stop.set()
        thread.join()


def test_beside_a_transaction_that_stays_open_the_road_goes_on_and_what_is_over_goes(ledger: Ledger) -> None:
    over = days.fill(ledger, OLD, 100, "succeeded")
    [letter] = days.fill(ledger, OLD, 1, "dead")
    [today] = ledger.post("a.b", 1)
    held = transaction(ledger, "select from millrace.events where id = %s for no key update", today)
    with held, posts(ledger) as took:
        assert clear(ledger) == {OLDER: "thinned", OLD: "thinned"}
        assert count(ledger, f"events_{OLD:%Y%m%d}") == 1
    assert max(took) < 0.8 * PATIENCE, "somebody waited behind it"
    assert Queries(ledger.engine).find(over[0]) is None
    assert Queries(ledger.engine).find(letter) is not None
    with posts(ledger) as took:
        assert clear(ledger) == {OLDER: "removed", OLD: "removed"}
    assert max(took) < 0.8 * PATIENCE
    ledger.check()


def test_beside_a_transaction_that_reads_everything_days_wait_and_the_road_does_not(ledger: Ledger) -> None:
    days.fill(ledger, OLD, 100, "succeeded")
    with transaction(ledger, "select count(*) from millrace.events"), posts(ledger) as took:
        assert clear(ledger) == {OLDER: "waits", OLD: "waits"}
    assert max(took) < 0.8 * PATIENCE
    assert clear(ledger) == {OLDER: "removed", OLD: "removed"}


def test_a_lock_that_cannot_be_had_is_given_up(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although it looked quiet."""
    monkeypatch.setattr(retention.Retention, "_is_quiet", lambda self: True)
    days.fill(ledger, OLD, 10, "succeeded")
    [today] = ledger.post("a.b", 1)
    with transaction(ledger, "select from millrace.events where id = %s", today), posts(ledger) as took:
        assert clear(ledger) == {OLDER: "thinned", OLD: "thinned"}
    assert max(took) < 0.8 * PATIENCE


def test_it_is_done_when_asked_for_by_one_at_a_time_or_after_a_day(ledger: Ledger) -> None:
    one, other = clears(ledger, by="one"), clears(ledger, by="other")
    assert one.run_once() is None, "nobody has asked"
    asks = (
        "insert into millrace.tickets (id, type, queue, exchange, routing_key, event_ids)"
        " values (gen_random_uuid(), %s, 'periodic', 'x', 'x', array[%s]::uuid[])"
    )
    ledger.sql(asks, keeping.RETENTION, ids.uuid7(time.time() + 1))
    assert one.take(now=False)
    assert not other.take(now=False)
    assert not other.take(now=True)
    ledger.sql("update millrace.duties set held_until = now() where name = 'retention'")  # It has died.
    assert other.run_once() is not None
    ledger.sql("delete from millrace.tickets")
    assert one.run_once() is None
    assert ledger.sql("select result->'days'->0->>'word' from millrace.duties where name = 'retention'") == [
        ("removed",)
    ]
    ledger.sql("update millrace.duties set done_at = done_at - interval '27 hours'")
    pause = "insert into millrace.schedules (name, type, spec, paused_at) values (%s, 'a.b', '{}', now())"
    ledger.sql(pause, keeping.RETENTION)
    assert one.run_once() is None, "it is paused"
    ledger.sql("update millrace.schedules set paused_at = null")
    assert one.run_once() is not None


def test_a_read_of_what_is_gone_says_so(ledger: Ledger) -> None:
    [gone, *_] = days.fill(ledger, OLD, 3, "succeeded")
    clear(ledger)
    client = Front(ledger).client()
    said = f"events of {OLD} were removed {days.ago(0)}, for their retention was over"
    for path in (f"/v1/events/{gone}", f"/v1/events/{gone}/explain"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert answer.get_json()["detail"].endswith(said)
    assert said in client.get(f"/console/events/{gone}").text
    never = client.get(f"/v1/events/{ids.uuid7(time.time())}")
    assert (never.status_code, "removed" in never.get_json()["detail"]) == (404, False)


def test_a_replay_outlives_the_letter_that_it_came_from(ledger: Ledger) -> None:
    [letter] = days.fill(ledger, OLD, 1, "dead")
    clear(ledger)
    _, again = replay.Replayer(LetterLedger(ledger.engine), ledger.registry, rate=1000.0).one(letter, by="test")
    clear(ledger)
    client = Front(ledger).client()
    assert client.get(f"/v1/events/{again}").get_json()["replay_of"] == letter
    assert client.get(f"/console/events/{again}").status_code == 200
    assert client.get(f"/v1/events/{letter}").status_code == 404
    assert client.get("/v1/dead").get_json()["dead"] == []
    with pytest.raises(errors.EventNotFound):
        replay.Replayer(LetterLedger(ledger.engine), ledger.registry, rate=1000.0).one(letter, by="test")


def test_of_each_schedule_the_latest_slots_stay_and_those_whose_event_is_open(ledger: Ledger) -> None:
    [waiting] = days.fill(ledger, OLD, 1, "pending")
    slots = (
        "insert into millrace.slots (schedule, due_at, outcome, clock) select %s, date_trunc('day', now())"
        " - make_interval(days => %s, mins => n), 'fired', 'x' from generate_series(1, %s) n"
    )
    schedule = '{"type": "a.b", "plan": {"every": 60}, "payload": {}}'
    new = "insert into millrace.schedules (name, type, spec, origin, next_due) values (%s, 'a.b', %s, 'api', now())"
    ledger.sql(new, "busy", schedule)
    for name, ago, number in (("busy", 35, 200), ("busy", 20, 30), ("rare", 300, 90), ("young", 5, 300)):
        ledger.sql(slots, name, ago, number)
    oldest = "select max(due_at) from millrace.slots where schedule = 'busy' and due_at < now() - interval '35 days'"
    ledger.sql(f"update millrace.slots set event_id = %s where due_at = ({oldest}) - interval '199 min'", waiting)
    clear(ledger)
    left = dict(ledger.sql("select schedule, count(*) from millrace.slots group by 1"))
    assert left == {"busy": 100 + 1, "rare": 90, "young": 300}
    # What was fired before is not known any more, so it is not filled in again.
    since, until = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), datetime.datetime.now(datetime.UTC)
    here = bootstrap.operations(Settings.model_construct(database_url=ledger.url), ledger.engine, ledger.registry)
    filled = here.schedules.backfill("busy", since, until, limit=10, dry_run=True, by="test")
    [(known,)] = ledger.sql("select slots_since from millrace.schedules where name = 'busy'")
    assert filled.first is not None
    assert filled.first > known


def test_old_strays_go(ledger: Ledger) -> None:
    stray = (
        "insert into millrace.strays (filed_at, queue, reason, properties, headers, body)"
        " values (now() - %s * interval '1 day', 'events', 'rejected', '{}', '{}', '')"
    )
    for age in (31, 29):
        ledger.sql(stray, age)
    clear(ledger)
    assert count(ledger, "strays") == 1


def test_metrics_and_doctor_see_what_is_kept_and_what_is_late(ledger: Ledger) -> None:
    days.fill(ledger, OLD, 2, "dead")
    found = kept.look(ledger.engine, KEEP)
    assert (found.oldest, found.overdue, found.keeps_up) == (OLDER, 2, True)
    days.make(ledger, days.ago(50))
    assert not kept.look(ledger.engine, KEEP).keeps_up
    assert kept.look(ledger.engine, math.inf).keeps_up
    settings = Settings.model_construct(database_url=ledger.url, retention=KEEP)
    late, well = (_finding(settings, ledger) for _ in range(2))
    assert not late[0]
    assert "3 days should have gone" in late[1]
    assert well[0]
    assert str(YOUNG) in well[1]
    found = kept.look(ledger.engine, KEEP)
    assert (found.oldest, found.overdue, found.unpartitioned, found.kept) == (YOUNG, 0, 0, 2)
    assert found.last is not None
    ledger.sql("insert into millrace.events (id, type, payload) values (%s, 'a.b', '1')", ids.uuid7(1_000_000_000.0))
    assert kept.look(ledger.engine, KEEP).unpartitioned == 1
    assert balance.count(ledger.engine).unpartitioned == 1


def _finding(settings: Settings, ledger: Ledger) -> tuple[bool, str]:
    """What the doctor says of retention; then it is done."""
    [found] = [f for f in doctor._balance(settings) if f.name == "retention"]
    clear(ledger)
    return found.ok, found.detail


def test_idempotency_keys_are_no_business_of_retention(ledger: Ledger) -> None:
    key = "insert into millrace.idempotency_keys select 'test', n::text, '', gen_random_uuid(), now() - n * interval %s"
    ledger.sql(f"{key} from generate_series(1, 23) n", "1 hour")
    clear(ledger)
    Upkeep(ledger.engine).forget_keys()
    assert count(ledger, "idempotency_keys") == 23


def test_the_verb_shows_what_would_go_and_does_it(ledger: Ledger) -> None:
    days.fill(ledger, OLD, 5, "succeeded")
    runner = CliRunner(env={"MILLRACE_DATABASE_URL": ledger.url, "MILLRACE_RETENTION": "30d"})
    dry = runner.invoke(cli.main, ["retention", "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert f"{OLD}  5 events, 0 kept: goes" in dry.output
    assert count(ledger, "events") == 5
    done = runner.invoke(cli.main, ["retention", "--yes"])
    assert done.exit_code == 0, done.output
    assert count(ledger, "events") == 0
    assert "attempts: 5 rows" in done.output
    ledger.sql("update millrace.duties set held_by = 'a clock', held_until = now() + interval '1 min'")
    busy = runner.invoke(cli.main, ["retention", "--yes"])
    assert busy.exit_code == 1
    assert "a clock is at it" in busy.output
    forever = runner.invoke(cli.main, ["retention", "--yes"], env={"MILLRACE_RETENTION": "forever"})
    assert "nothing is removed" in forever.output


def test_a_clock_clears_by_itself(ledger: Ledger) -> None:
    """In its own thread, as the scheduler calls it."""
    days.fill(ledger, OLD, 5, "succeeded")
    ledger.sql("update millrace.duties set done_at = '-infinity' where name = 'retention'")
    found = clears(ledger)
    thread = threading.Thread(target=found.run_once)
    thread.start()
    wait(lambda: count(ledger, "events") == 0, 10, "the day to go")
    thread.join()
