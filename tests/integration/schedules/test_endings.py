"""The end of a plan: a schedule is edited, deleted, declared otherwise or retired while instants wait.

Each instant of the plan is accounted for by a slot, or in the ``missed`` of the one after it, up to the very end.
"""

from __future__ import annotations

import concurrent.futures
import datetime
import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from service.domain import errors, policies, schedules
from service.ledger import engine as engines
from service.ledger import firing
from service.ledger.declared import Declarations
from service.ledger.schedules import ScheduleLedger
from service.plans import Interval, jitter
from tests.integration.schedules.desk import PLACE, Clock, back, create, slots
from tests.ledgers import Ledger
from tests.patience import PATIENCE

pytestmark = pytest.mark.postgres

OUTAGE = 130  #: seconds without a clock: more instants than one transaction of these tests fires
SECOND = datetime.timedelta(seconds=1)
ALL = policies.Policy(misfire=policies.Misfire.ALL)
QUEUE = policies.Policy(overlap=policies.Overlap.QUEUE_ONE)

End = Callable[[FlaskClient, Ledger], object]


def declare(ledger: Ledger, *found: schedules.Schedule, **options: Any) -> None:
    """A clock that starts with these, and with the app ``shop``."""
    calendar = schedules.Calendar()
    for one in found:
        calendar.add(one)
    Declarations(engines.Engine(ledger.url), calendar, clock="new", apps=["shop"], **options).declare()


def assert_accounted(ledger: Ledger, first: datetime.datetime, until: datetime.datetime) -> None:
    """Each second from the first instant to the last one that was due ``until`` then, at least, is an event."""
    found = ledger.sql("select min(due_at), max(due_at), count(*), count(event_id) from millrace.slots")
    [(begin, end, number, events)] = found
    assert (begin, end >= until - SECOND) == (first, True)
    assert number == events == (end - begin) // SECOND + 1
    assert ledger.sql("select count(*), count(distinct slot_at) from millrace.events") == [(events, events)]


class TestManyInstants:
    """A slot each second, and nobody was there to fire it for a while."""

    @pytest.fixture(autouse=True)
    def few_in_one_transaction(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(firing, "SLOTS", 50)

    @pytest.mark.parametrize(
        "end",
        [
            lambda client, _: client.patch(f"{PLACE}/s", json={"plan": {"every": 7200}}, headers={"If-Match": "*"}),
            lambda client, _: client.post(f"{PLACE}/s/pause"),
            lambda client, _: client.delete(f"{PLACE}/s"),
        ],
        ids=["edited", "paused", "deleted"],
    )
    def test_one_that_was_made_at_run_time(self, client: FlaskClient, ledger: Ledger, end: End) -> None:
        create(client, plan={"every": 1}, misfire="all")
        self.end(client, ledger, end)

    @pytest.mark.parametrize(
        "found",
        [
            [schedules.Schedule("s", "a.tick", Interval(7200), policy=ALL, app="shop")],
            [schedules.Schedule("s", "a.alone", Interval(7200), policy=ALL, app="shop")],
            [],
        ],
        ids=["changed", "with another type", "removed"],
    )
    def test_one_that_the_code_declares(
        self, client: FlaskClient, ledger: Ledger, found: list[schedules.Schedule]
    ) -> None:
        declare(ledger, schedules.Schedule("s", "a.tick", Interval(1), policy=ALL, app="shop"))
        self.end(client, ledger, lambda _, ledger: declare(ledger, *found))
        types = {one.type for one in found} or {"a.tick"}
        assert ledger.sql("select distinct type from millrace.events") == [(name,) for name in types]

    def end(self, client: FlaskClient, ledger: Ledger, end: End) -> None:
        back(ledger, OUTAGE)
        [(first, now)] = ledger.sql("select next_due, clock_timestamp() from millrace.schedules")
        end(client, ledger)
        assert_accounted(ledger, first, now)


class TestHeldInstant:
    """An instant waits for the event before it, which nobody works."""

    @pytest.fixture
    def hold(self, ledger: Ledger) -> Callable[[Clock], None]:
        def hold(clock: Clock) -> None:
            ledger.until(lambda: any(outcome == "held" for _, outcome, _ in clock.fire()), 10)

        return hold

    def test_it_is_skipped_when_the_schedule_is_deleted(
        self, client: FlaskClient, ledger: Ledger, clock: Clock, hold: Callable[[Clock], None]
    ) -> None:
        create(client, plan={"every": 1}, overlap="queue_one")
        hold(clock)
        assert client.delete(f"{PLACE}/s").status_code == 204
        assert [row[:2] for row in slots(ledger)][:2] == [("fired", None), ("skipped", "ended")]
        assert ledger.sql("select count(*) from millrace.slots where outcome = 'held'") == [(0,)]

    def test_it_is_skipped_when_the_schedule_is_retired(self, ledger: Ledger, hold: Callable[[Clock], None]) -> None:
        own = schedules.Schedule("s", "a.tick", Interval(1), policy=QUEUE, app="shop")
        clock = Clock(ledger, own)
        clock.declarations.declare()
        hold(clock)
        declare(ledger)
        assert ("skipped", "ended") in [row[:2] for row in slots(ledger)]
        assert ledger.sql("select count(*) from millrace.slots where outcome = 'held'") == [(0,)]
        assert ledger.sql("select held, retired_at is not null from millrace.schedules") == [(None, True)]

    def test_it_is_fired_when_it_need_not_wait_any_more(
        self, client: FlaskClient, ledger: Ledger, clock: Clock, hold: Callable[[Clock], None]
    ) -> None:
        create(client, plan={"every": 1}, overlap="queue_one")
        hold(clock)
        ledger.work()
        client.delete(f"{PLACE}/s")
        assert [row[:2] for row in slots(ledger)][:2] == [("fired", None), ("fired", "overlap")]
        assert ledger.sql("select count(*) from millrace.slots where outcome = 'held'") == [(0,)]


def test_instants_of_a_pause_are_accounted_for_when_the_schedule_goes(client: FlaskClient, ledger: Ledger) -> None:
    create(client)
    client.post(f"{PLACE}/s/pause")
    ledger.sql("update millrace.schedules set planned = planned - interval '10 min'")
    client.delete(f"{PLACE}/s")
    assert slots(ledger) == [("skipped", "paused", 9)]


def test_instants_of_a_pause_are_accounted_for_when_the_code_changes(ledger: Ledger) -> None:
    declare(ledger, schedules.Schedule("s", "a.tick", Interval(60), app="shop"))
    ScheduleLedger(ledger.engine).pause("s", by="ada")
    ledger.sql("update millrace.schedules set planned = planned - interval '10 min'")
    declare(ledger, schedules.Schedule("s", "a.tick", Interval(3600), app="shop"))
    [(outcome, reason, missed)] = slots(ledger)
    assert (outcome, reason, missed in (9, 10)) == ("skipped", "paused", True)  # A minute may begin meanwhile.


def test_what_is_due_when_its_handler_has_gone_with_the_schedule_is_skipped(ledger: Ledger) -> None:
    declare(ledger, schedules.Schedule("s", "a.tick", Interval(3600), app="shop"))
    ledger.sql("update millrace.schedules set next_due = date_trunc('hour', now()) - interval '2 hours'")
    declare(ledger, handles=lambda name: name != "a.tick")
    assert slots(ledger) in ([("skipped", "ended", 2)], [("skipped", "ended", 3)])  # An hour may have begun.
    assert ledger.sql("select planned, next_due from millrace.schedules") == [(None, None)]


def test_an_instant_that_waits_for_its_jitter_is_not_too_late_when_the_schedule_is_edited(
    client: FlaskClient, ledger: Ledger, clock: Clock
) -> None:
    """It was to be fired later than now; by its planned instant alone it would be later than the window."""
    [(now,)] = ledger.sql("select clock_timestamp()")
    planned, width = now - datetime.timedelta(hours=6), 12 * 3600.0
    day = datetime.timedelta(days=1)
    name = next(
        f"s{n}" for n in range(100) if jitter.jittered(f"s{n}", planned, width, planned + day) > now + 60 * SECOND
    )
    create(client, name, plan={"every": "1d", "anchor": planned.isoformat()}, jitter=width, misfire="skip",
           expires_after="1h")  # fmt: skip
    ledger.sql("update millrace.schedules set planned = %s", planned)
    assert clock.fire() == []
    assert client.patch(f"{PLACE}/{name}", json={"jitter": 0}, headers={"If-Match": "*"}).status_code == 200
    assert slots(ledger, name) == [("fired", None, 0)]


@pytest.mark.usefixtures("limits_of_production")
def test_an_operator_whose_process_freezes_delays_a_slot_by_two_seconds_at_most(
    client: FlaskClient, ledger: Ledger, clock: Clock
) -> None:
    create(client)
    reached, thawed = threading.Event(), threading.Event()

    def change(_: dict[str, Any]) -> schedules.Schedule:
        reached.set()
        thawed.wait(30)
        return schedules.Schedule("s", "a.tick", Interval(60))

    operator = ScheduleLedger(engines.Engine(ledger.url))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        edit = pool.submit(operator.edit, "s", change, revision=None, by="ada")
        assert reached.wait(20 * PATIENCE)
        try:
            ledger.until(lambda: not ledger.sql("select 1 from pg_stat_activity where state like 'idle in%%'"), 2.0)
        finally:
            thawed.set()
        with pytest.raises(errors.LedgerUnavailable):
            edit.result(20 * PATIENCE)
    back(ledger, 60)
    assert clock.fire() == [("s", "fired", None)]


def test_what_is_more_than_one_transaction_can_do_is_fired_before_the_change_in_short_ones(
    client: FlaskClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(client, plan={"every": 1}, misfire="all")
    back(ledger, 100)
    monkeypatch.setattr(firing, "SLOTS", 10)
    assert client.delete(f"{PLACE}/s").status_code == 204
    commits = "select count(*), count(distinct xmin::text) from millrace.slots"
    [(number, transactions)] = ledger.sql(commits)
    assert number >= 100
    assert transactions >= number // 10
