"""A million events wait for workers: the door does not notice, the broker hardly (P1, P3, P6)."""

from __future__ import annotations

import pathlib
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.local.rabbitmq import RabbitNode
from tests.door import Door
from tests.faults.checker import Record
from tests.patience import PATIENCE, wait
from tests.road import Road

EVENTS = 1_000_000
POSTS = 50  #: on top of them
BATCH = 2_000  #: events in a request
MEMORY = 200  #: megabytes that the broker may take for all of it
ACCEPTED = 1.0  #: seconds until a post is answered on top of the backlog
SECONDS = 240  #: to build it, and as many to drain it

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]


@pytest.mark.fault(38)
def test_a_backlog_of_a_million_is_built_and_worked_off(
    road: Road, broker_node: RabbitNode, record_property: Record
) -> None:
    road.clock()
    door = road.web()
    before = megabytes(broker_node)
    with ThreadPoolExecutor(4) as pool:
        begin = time.monotonic()
        answers = list(pool.map(lambda _: door.post_many("ledger.mass", BATCH), range(EVENTS // BATCH)))
        built = time.monotonic() - begin
    refused = [a for a in answers if a.status != 202]
    assert not refused, f"{len(refused)} of {len(answers)}, first: {refused[0]}"
    record_property("built", round(built, 1))

    assert median_of_posts(door) < ACCEPTED * PATIENCE
    grown = megabytes(broker_node) - before
    record_property("broker_megabytes", grown)
    assert grown < MEMORY, "the backlog lies on the broker"

    begin = time.monotonic()
    road.worker()
    open_ones = "select exists (select from millrace.tickets)"
    wait(lambda: not road.one(open_ones), SECONDS, "all is worked off", step=1)
    record_property("drained", round(time.monotonic() - begin, 1))
    done, distinct = road.sql("select count(*), count(distinct event_id) from effects")[0]
    record_property("lost", EVENTS + POSTS - distinct)
    record_property("doubled", done - distinct)
    assert (done, distinct) == (EVENTS + POSTS, EVENTS + POSTS)
    road.assert_books()


def median_of_posts(door: Door) -> float:
    """Seconds for a post on top of it."""
    return sorted(door.post("ledger.step").seconds for _ in range(POSTS))[POSTS // 2]


def megabytes(node: RabbitNode) -> int:
    """What the broker's process has in memory."""
    status = pathlib.Path(f"/proc/{node.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024
