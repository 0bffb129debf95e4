"""The road of this folder, and what happened on it."""

from __future__ import annotations

import dataclasses
import functools
import time
import uuid
from collections.abc import Iterator

import pytest

from tests import servers
from tests.monitoring.story import EVERY, Outage, Story
from tests.patience import wait

#: Alerts that the story gives a reason for, and the one that always fires.
PROVOKED = {
    "MillraceDeadLettersArrive",
    "MillraceStraysArrive",
    "MillraceWorkersDie",
    "MillraceObjectiveSuccessBurn",
    "MillraceWatchdog",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """What happened, and when: questions are asked of these instants, whatever a test does afterwards."""

    begin: float  #: seconds since the epoch, as all of them
    calm: float  #: handlers failed, workers died, strays came; the servers were well
    outage: Outage  #: of the broker
    end: float  #: the broker has been back for some seconds
    trace: str  #: the id of the trace of one mail


@pytest.fixture(scope="package")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A road that is watched."""
    servers.need_prometheus()
    servers.need_postgres()
    servers.need_rabbitmq()
    with Story(tmp_path_factory.mktemp("story"), pairs=False) as found:
        found.road.wait_for_consumers(1)
        yield found


@pytest.fixture(scope="package")
def told(story: Story) -> Told:
    """Everything has happened that a dashboard tells of."""
    begin, trace = time.time() - 60, uuid.uuid4().hex
    sum_of = story.prometheus.sum
    with story.traffic(0.4):
        story.wrong()
        story.send("mails.sent", {"seconds": 0.01}, traceparent=f"00-{trace}-b7ad6b7169203331-01")
        for expr, number in {
            'millrace_events_finished_total{outcome="dead"}': 2,
            'millrace_tickets_failed_total{outcome="worker_lost"}': 1,
            'millrace_messages_returned_total{owner="stray"}': 1,
            "millrace_canary_latency_seconds_count": 2,
        }.items():
            wait(lambda e=expr, n=number: sum_of(e) >= n, 40, expr)
        for recorded in ("objective_start_bad", "objective_success_bad"):
            wait(functools.partial(story.prometheus.now, f"millrace:{recorded}:ratio_rate1h"), 40, recorded)
        wait(lambda: sum_of('ALERTS{alertname="MillraceDeadLettersArrive"}') >= 1, 40, "an alert")
        # The first minute has its own: no canary was ever seen to be sent.
        others = f'ALERTS{{alertname!~"{"|".join(sorted(PROVOKED))}"}}'
        wait(lambda: not story.prometheus.now(others), 60, "no other alert fires, or is about to")
        calm = time.time()
        outage = story.outage()
        canaries = sum_of("millrace_canary_latency_seconds_count")
        wait(lambda: sum_of("millrace_canary_latency_seconds_count") >= canaries + 2, 40, "canaries come again")
        story.wait(4 * EVERY)  # For rates to have two scrapes of all of it.
        scraped = functools.partial(
            story.prometheus.now, "count(up == 1) == count(up) and on () count(millrace:queue_consumers:sum)"
        )
        wait(scraped, 40, "all are scraped")
        return Told(begin, calm, outage, time.time(), trace)
