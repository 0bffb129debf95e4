"""A backfill keeps nobody waiting, and accounts for each instant once."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
from flask.testing import FlaskClient

from service.domain import errors, policies, schedules
from service.ledger import backfill, ticks
from service.ledger import engine as engines
from service.ledger.backfill import Backfill
from service.ledger.schedules import ScheduleLedger
from service.plans import Interval, jitter
from tests.integration.schedules.desk import PLACE, Clock, back, create, slots
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres

HOUR = datetime.timedelta(hours=1)
ACCOUNTED = "select count(*) + sum(missed) from millrace.slots"


def fill(ledger: Ledger, since: datetime.datetime, until: datetime.datetime, **options: Any) -> Backfill:
    wanted = {"limit": 1000, "dry_run": False, "by": "ada"} | options
    return ScheduleLedger(engines.Engine(ledger.url)).backfill("s", since, until, **wanted)


def hour(ledger: Ledger) -> datetime.datetime:
    found: datetime.datetime = ledger.sql("select date_trunc('hour', clock_timestamp())")[0][0]
    return found


def is_free(ledger: Ledger) -> bool:
    """Whether a clock could take the schedule's row at this moment."""
    with contextlib.closing(psycopg2.connect(ledger.url)) as other, other.cursor() as cursor:
        other.autocommit = True  # The lock ends with the statement: that it was closed, the server may notice later.
        try:
            cursor.execute("select from millrace.schedules where name = 's' for no key update nowait")
        except psycopg2.errors.LockNotAvailable:
            return False
        return True


class TestNobodyWaits:
    """Somebody may hold the schedule's row, and nobody waits for a backfill that does."""

    def test_a_dry_run_holds_nothing_and_waits_for_nobody(self, client: FlaskClient, ledger: Ledger) -> None:
        create(client, plan={"every": 3600})
        with contextlib.closing(psycopg2.connect(ledger.url)) as other:
            other.cursor().execute("select from millrace.schedules for update")
            found = fill(ledger, hour(ledger) - 24 * HOUR, hour(ledger), dry_run=True)
        assert (found.instants, found.backfilled) == (24, 24)
        assert slots(ledger) == []

    def test_instants_are_listed_and_events_written_while_clocks_may_fire(
        self, client: FlaskClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create(client, plan={"every": 3600})
        looked: list[bool] = []

        def watched(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **options: Any) -> Any:
                found = function(*args, **options)
                looked.append(is_free(ledger))
                return found

            return call

        monkeypatch.setattr(Interval, "next_after", watched(Interval.next_after))
        monkeypatch.setattr(ticks.Writer, "write", watched(ticks.Writer.write))
        monkeypatch.setattr(backfill, "PIECE", 10)
        found = fill(ledger, hour(ledger) - 24 * HOUR, hour(ledger))
        assert found.backfilled == 24
        assert looked.count(True) == len(looked) >= 24 + 3
        assert ledger.sql("select count(distinct xmin::text) from millrace.slots") == [(3,)]
        audited = ledger.sql("select (detail->>'instants')::int from millrace.audit where act like '%%backfilled'")
        assert audited == [(10,), (10,), (4,)]

    def test_one_that_is_changed_meanwhile_is_filled_no_further(
        self, client: FlaskClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create(client, plan={"every": 3600})
        rows = backfill.Filler._row

        def row_then_edit(filler: backfill.Filler, name: str) -> Any:
            found = rows(filler, name)
            client.patch(f"{PLACE}/s", json={"payload": {"n": 2}}, headers={"If-Match": "*"})
            return found

        monkeypatch.setattr(backfill.Filler, "_row", row_then_edit)
        with pytest.raises(errors.ScheduleChanged):
            fill(ledger, hour(ledger) - 24 * HOUR, hour(ledger))
        assert slots(ledger) == []


class TestAccounts:
    """Each instant is accounted for once, before and after."""

    def test_what_becomes_a_slot_is_not_counted_as_missed_any_more(
        self, client: FlaskClient, ledger: Ledger, clock: Clock
    ) -> None:
        create(client, plan={"every": 3600})
        back(ledger, 10 * 3600)
        clock.fire()
        assert slots(ledger) in ([("fired", None, 9)], [("caught_up", None, 9)])
        last = hour(ledger)
        for since, until, filled in ((4, 2, 2), (3, 1, 1), (40, 8, 32), (60, -1, 20 + 5)):
            found = fill(ledger, last - since * HOUR, last - until * HOUR)
            assert found.backfilled == filled
            in_time = "select count(*) + sum(missed) from millrace.slots where due_at > %s"
            assert ledger.sql(in_time, last - 10 * HOUR) == [(10,)]
        assert ledger.sql("select sum(missed) from millrace.slots") == [(0,)]

    def test_a_slot_that_was_skipped_and_filled_goes_on_counting_those_before_it(
        self, client: FlaskClient, ledger: Ledger
    ) -> None:
        create(client, plan={"every": 3600})
        client.post(f"{PLACE}/s/pause")
        ledger.sql("update millrace.schedules set planned = planned - interval '10 hours'")
        client.post(f"{PLACE}/s/resume")
        assert slots(ledger) == [("skipped", "paused", 9)]
        last = hour(ledger)
        assert fill(ledger, last, last + HOUR).backfilled == 1
        assert slots(ledger) == [("backfilled", None, 9)]
        assert fill(ledger, last - 4 * HOUR, last).backfilled == 4
        assert [missed for *_, missed in slots(ledger)] == [0, 0, 0, 0, 5]

    def test_what_waits_for_its_jitter_is_the_clocks(self, client: FlaskClient, ledger: Ledger, clock: Clock) -> None:
        """Filled, it would be skipped over by the clock, or come twice."""
        [(now,)] = ledger.sql("select clock_timestamp()")
        planned, width, day = now - 6 * HOUR, 12 * 3600.0, 24 * HOUR
        anchor = next(
            at
            for at in (planned - n * datetime.timedelta(seconds=1) for n in range(100))
            if jitter.jittered("s", at, width, at + day) > now + HOUR / 60
        )
        create(client, plan={"every": "1d", "anchor": anchor.isoformat()}, jitter=width)
        ledger.sql("update millrace.schedules set planned = %s", anchor)
        found = fill(ledger, now - day, now)
        assert (found.instants, found.backfilled) == (0, 0)
        assert slots(ledger) == []

    def test_a_pause_that_lasts_is_accounted_for_before_its_instants_are_filled(
        self, client: FlaskClient, ledger: Ledger
    ) -> None:
        create(client, plan={"every": 3600})
        client.post(f"{PLACE}/s/pause")
        ledger.sql("update millrace.schedules set planned = planned - interval '10 hours'")
        last = hour(ledger)
        assert fill(ledger, last - 2 * HOUR, last + HOUR, dry_run=True).backfilled == 3
        assert slots(ledger) == []
        assert fill(ledger, last - 2 * HOUR, last + HOUR).backfilled == 3
        assert ledger.sql(ACCOUNTED) == [(10,)]
        client.post(f"{PLACE}/s/resume")
        assert ledger.sql(ACCOUNTED) == [(10,)]

    def test_only_what_was_written_is_told(self, client: FlaskClient, ledger: Ledger) -> None:
        plain = schedules.Schedule("s", "a.tick", Interval(3600), policy=policies.Policy())
        ScheduleLedger(ledger.engine).create(plain, by=None)
        last = hour(ledger)
        fill(ledger, last - 5 * HOUR, last - 2 * HOUR)
        found = fill(ledger, last - 5 * HOUR, last)
        assert (found.instants, found.present, found.backfilled) == (5, 3, 2)
