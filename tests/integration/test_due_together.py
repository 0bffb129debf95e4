"""Many events that are due in the same second: one clock publishes them all, with workers idle."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Callable, Sequence

import psutil
import pytest

from service.application import publish
from service.application.publish import Release
from service.broker import publisher as publishers
from service.domain import errors, event
from service.domain import ticket as tickets
from service.ledger.release import ReleaseLedger
from tests.ledgers import Ledger, SilentBroker
from tests.patience import PATIENCE

GOAL = 2.0 * PATIENCE  #: seconds for ten thousand
DEADLINE = 30 * GOAL  #: seconds after which it is given up
SESSIONS = "select pid from pg_stat_activity where datname = current_database() and backend_type = 'client backend'"


def spent(ledger: Ledger) -> float:
    """Seconds of a processor that this process, and its sessions in PostgreSQL, have used until now.

    They take turns, while the broker confirms beside them. So where nobody else wants a processor this is how long it
    takes, but for a few waits; and where others do, it does not grow.
    """
    found = [psutil.Process(), *(psutil.Process(pid) for (pid,) in ledger.sql(SESSIONS) if psutil.pid_exists(pid))]
    return sum(sum(process.cpu_times()[:2]) for process in found)


def a_release(ledger: Ledger, broker: object) -> Release:
    settings = {"patience": 300.0, "window": 20_000, "forgetful": False}
    return Release(ReleaseLedger(ledger.engine, **settings), broker)  # type: ignore[arg-type]


def run_once(release: Release) -> int:
    """A round of a clock, which goes on when the broker does not answer in time, as on a busy machine."""
    with contextlib.suppress(errors.BrokerUnavailable):
        return release.run_once()
    return 0


@pytest.mark.postgres
@pytest.mark.rabbitmq
@pytest.mark.parametrize("many", [2_000, pytest.param(10_000, marks=pytest.mark.heavy)])
def test_thousands_of_events_due_in_the_same_second_are_published_at_once(
    database: str, vhost: str, many: int, record_property: Callable[[str, object], None]
) -> None:
    """Each on a ticket of its own, as when they were posted one by one: the worst case."""
    ledger = Ledger(database, deadline=60.0 * PATIENCE)
    ledger.handler("a.b", print, bundle=1)
    broker = publishers.Publisher(vhost, frozenset(), heartbeat=10, name="test")
    release = a_release(ledger, broker)
    run_once(release)  # The clock has been running for a while.
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    for _ in range(many // 500):
        ledger.intake.submit([event.NewEvent(type="a.b", payload="1", run_at=later)] * 500)
    # However long it took to post them: they are due in a second, and not one is published by the door.
    due = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=1)
    ledger.sql("update millrace.events set run_at = %s; update millrace.tickets set due_at = %s", due, due)
    while datetime.datetime.now(datetime.UTC) < due:
        assert run_once(release) == 0 or datetime.datetime.now(datetime.UTC) >= due
        time.sleep(0.1)  # As the clock's loop does.
    began, spent_before = time.monotonic(), spent(ledger)
    while not ledger.sql("select 1 having not exists (select from millrace.tickets where published_at is null)"):
        assert time.monotonic() - began < DEADLINE
        run_once(release)
    work = spent(ledger) - spent_before
    [(published, seconds)] = ledger.sql(
        "select count(*), extract(epoch from max(t.published_at) - least(min(e.run_at), min(t.published_at)))::float8"
        " from millrace.tickets t join millrace.events e on e.ticket_id = t.id where t.published_at is not null"
    )
    assert published == many
    ledger.until(lambda: broker.ready("events") >= many, within=20)  # The broker counts a little later.
    broker.drop()
    record_property("seconds", seconds)
    print(f"{many} tickets due together were out after {seconds:.2f} s, {work:.2f} s of work (goal: {GOAL} s)")  # noqa: T201
    assert work < GOAL


class SlowBroker(SilentBroker):
    """Confirms a hundred tickets in time, and no more."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def publish(self, batch: Sequence[tickets.Ticket], timeout: float) -> set[str]:
        self.sizes.append(len(batch))
        if len(batch) > 100:
            raise errors.BrokerUnavailable("too slow")
        return super().publish(batch, timeout)


@pytest.mark.postgres
def test_a_broker_that_cannot_confirm_so_many_in_time_is_given_fewer(database: str) -> None:
    ledger = Ledger(database)
    ledger.handler("a.b", print, bundle=1)
    ledger.post("a.b", *range(500))
    ledger.until(lambda: not ledger.sql("select 1 from millrace.tickets where published_at is null"))
    ledger.sql("update millrace.tickets set due_at = now() - interval '1 s', published_at = null, publishes = 0")
    broker = SlowBroker()
    release = a_release(ledger, broker)
    for _ in range(50):
        try:
            release.run_once()
        except errors.BrokerUnavailable:
            continue
    assert len({t.id for t in broker.published}) == 500
    assert broker.sizes[0] == publish.BATCH
    ledger.check()
