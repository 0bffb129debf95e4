"""Who has retention done: a clock that was asked, or an operator; and who sees that it was not."""

from __future__ import annotations

import math
import threading
import time

import pytest
from click.testing import CliRunner

from service import cli, doctor
from service.domain import ids, keeping
from service.ledger import balance, kept
from service.settings import Settings
from tests import days
from tests.integration.retention.parts import KEEP, OLD, OLDER, YOUNG, clear, clears, count
from tests.ledgers import Ledger
from tests.patience import wait

pytestmark = pytest.mark.postgres


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


def test_a_clock_clears_by_itself(ledger: Ledger) -> None:
    """In its own thread, as the scheduler calls it."""
    days.fill(ledger, OLD, 5, "succeeded")
    ledger.sql("update millrace.duties set done_at = '-infinity' where name = 'retention'")
    found = clears(ledger)
    thread = threading.Thread(target=found.run_once)
    thread.start()
    wait(lambda: count(ledger, "events") == 0, 10, "the day to go")
    thread.join()


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
