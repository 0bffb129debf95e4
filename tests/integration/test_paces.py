"""Bundles by measured run time: many that are quick ride together, slow ones alone."""

from __future__ import annotations

import time

import pytest

from service.domain import handlers
from service.ledger import engine as engines
from service.ledger.upkeep import Upkeep
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres

SLOW = 0.03  #: seconds; two of them are more than rides on a ticket


@pytest.fixture
def ledger(database: str) -> Ledger:
    found = Ledger(database)
    found.handler("a.quick", lambda payload, ctx: None, bundle=None)
    found.handler("a.bulk", lambda events, ctx: None, bundle=None, bulk=True)
    found.handler("a.slow", lambda payload, ctx: time.sleep(SLOW), bundle=None)
    found.handler("a.fixed", lambda payload, ctx: None, bundle=7)
    return found


def sizes(ledger: Ledger, type_name: str, number: int) -> list[int]:
    """How many events are on each ticket, if so many are posted at once; then they are worked."""
    ledger.post(type_name, *range(number))
    found = sorted((len(delivery.event_ids) for delivery in ledger.tickets()), reverse=True)
    ledger.work()
    assert ledger.tickets() == []
    return found


def measure(ledger: Ledger) -> None:
    ledger.sql("update millrace.duties set done_at = '-infinity' where name = 'paces'")
    Upkeep(engines.Engine(ledger.url)).measure_paces()
    ledger.post("a.fixed", 0)  # What is known comes with each flush.
    ledger.work()


@pytest.mark.parametrize(("type_name", "first"), [("a.quick", [1, 1, 1]), ("a.bulk", [3])])
def test_events_ride_alone_or_few_until_they_are_known_to_be_quick(
    ledger: Ledger, type_name: str, first: list[int]
) -> None:
    assert sizes(ledger, type_name, 3) == first
    # As they are where the machine does not stand still in one of them.
    ledger.sql("update millrace.tallies set seconds = least(seconds, 0.00002 * n)")
    measure(ledger)
    assert sizes(ledger, type_name, handlers.LARGEST_BUNDLE + 44) == [handlers.LARGEST_BUNDLE, 44]


def test_what_company_saves_counts_however_many_rode_alone(ledger: Ledger) -> None:
    for number, bundles, seconds in ((1, 20, 0.01), (100, 10, 0.1)):
        ledger.sql(
            "insert into millrace.tallies (minute, type, word, n, seconds)"
            " select date_trunc('minute', now()), 'a.quick', 'done', %s, %s from generate_series(1, %s)",
            *(number, seconds, bundles),
        )
    measure(ledger)
    assert sizes(ledger, "a.quick", 50) == [42, 8]  # 1.2 s for 1,020 events


def test_slow_events_ride_alone(ledger: Ledger) -> None:
    assert sizes(ledger, "a.slow", 2) == [1, 1]
    measure(ledger)
    assert sizes(ledger, "a.slow", 4) == [1, 1, 1, 1]


def test_a_type_that_has_become_slow_is_noticed(ledger: Ledger) -> None:
    sizes(ledger, "a.quick", 3)
    measure(ledger)
    ledger.sql("update millrace.tallies set seconds = n * %s where type = 'a.quick' and seconds is not null", SLOW)
    measure(ledger)
    assert sizes(ledger, "a.quick", 3) == [1, 1, 1]


def test_a_number_that_the_handler_fixes_stays(ledger: Ledger) -> None:
    assert sizes(ledger, "a.fixed", 15) == [7, 7, 1]


@pytest.mark.parametrize(("pace", "size"), [(None, 1), (0.0, 1024), (0.0005, 100), (0.005, 10), (0.05, 1), (60.0, 1)])
def test_a_ticket_holds_a_twentieth_of_a_second_of_work(pace: float | None, size: int) -> None:
    assert handlers.Handler("a.b", print).bundle_at(pace) == size
