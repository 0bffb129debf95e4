"""A real road, scraped: each process serves exactly its part of the catalogue, and every event is counted once."""

from __future__ import annotations

import itertools
import os
import pathlib
import re
import signal
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from service.telemetry import catalogue
from tests.door import Door, accepted
from tests.patience import PATIENCE, wait
from tests.processes import Process
from tests.road import Gate, Road

TYPE, ALONE, OTHER = "ledger.step", "ledger.alone", "ledger.bulk"  #: in bundles; one to a ticket; likewise in bundles
CHILD = 2  #: tickets that a child works, and then goes
_numbers = itertools.count(1)
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Watched:
    """A road and what its processes serve."""

    def __init__(self, road: Road) -> None:
        self.road = road
        self.doors: list[Door] = [road.web(), road.web()]
        self.door = self.doors[0]
        #: Made by a test that wants a child to die between its commit and its report.
        self.crash = road.folder / "crash"
        self.worker: Process = road.worker(
            "prefork", "--max-tasks-per-child", str(CHILD), crash_at=f"after_commit_before_ack@{self.crash}"
        )
        self.clock: Process = road.clock(canary_url=f"http://{self.door.address}")
        self.processes = {
            "web": [door.process for door in self.doors], "worker": [self.worker], "clock": [self.clock],
        }  # fmt: skip

    def text(self, role: str, accept: str = "text/plain") -> str:
        """What the first process of a role serves on /metrics."""
        return self._served(self.processes[role][0], accept)

    def _served(self, process: Process, accept: str = "text/plain") -> str:
        process.wait_for_text("Metrics are at")
        found = re.search(r"Metrics are at (http://\S+)", process.text())
        assert found
        request = urllib.request.Request(found[1], headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=20 * PATIENCE) as answer:
            return str(answer.read().decode())

    def value(self, role: str, name: str, **labels: str) -> float:
        """The sum of all series of this name that have these labels, over the processes of a role."""
        family = name.removesuffix("_total")
        return sum(
            sample.value
            for process in self.processes[role]
            for found in parser.text_string_to_metric_families(self._served(process))
            for sample in found.samples
            if found.name in (name, family, name.removesuffix("_count"))
            and sample.name == name
            and labels.items() <= sample.labels.items()
        )


@pytest.fixture(scope="module")
def watched(
    postgres: PostgresServer,
    rabbitmq: RabbitNode,
    ledger_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Watched]:
    name = f"watched_{next(_numbers)}"
    postgres.execute(f"create database {name} template {ledger_template}")
    road = Road(
        postgres.dsn_of(name),
        rabbitmq.add_vhost(f"watched-{os.getpid()}"),
        tmp_path_factory.mktemp("watched"),
        apps="tests.apps.ledger_app,service.canary",
        canary="2",
        head_start="60",  # No clock publishes what a web process has published and is about to mark.
    ).prepare()
    try:
        yield Watched(road)
    finally:
        road.stop()


@pytest.mark.parametrize("role", catalogue.ROLES)
def test_a_process_serves_exactly_the_catalogue(watched: Watched, role: str) -> None:
    served = {
        f.name: f for f in parser.text_string_to_metric_families(watched.text(role)) if f.name.startswith("millrace_")
    }
    expected = {m.name.removesuffix("_total"): m for m in catalogue.CATALOGUE if role in m.roles}
    assert served.keys() == expected.keys()
    for name, metric in expected.items():
        assert served[name].type == metric.kind.value
        assert served[name].documentation == metric.help
        assert all(sample.labels.keys() - {"le"} == set(metric.label_names) for sample in served[name].samples)


def test_every_event_is_counted_once_in_every_stage_though_children_are_recycled_and_killed(watched: Watched) -> None:
    road, value = watched.road, watched.value
    files = {path for path in road.folder.rglob("*") if path.suffix != ".log"}
    gate = Gate(road.folder)
    alone = accepted([watched.door.post(ALONE, do="gate", gate=str(gate.folder))])
    child, _ = gate.wait()
    os.kill(child, signal.SIGKILL)
    gate.open()
    alone += accepted(watched.doors[1].post_all(ALONE, [{}] * 15))
    bundled = [one for door in watched.doors for one in accepted(door.post_all(TYPE, [{}] * 50))]
    road.assert_worked_once(alone + bundled, 60)
    worked = {pid for (pid,) in road.sql("select distinct pid from effects where event_id = any(%s::uuid[])", alone)}
    assert len(worked) >= len(alone) / CHILD, "no child was recycled"
    assert child not in worked

    for name, number, lost in ((ALONE, len(alone), 1), (TYPE, len(bundled), 0)):
        assert value("web", "millrace_events_accepted_total", type=name, outcome="accepted") == number
        for what in ("start_latency", "commit_latency", "run_duration"):
            wait(
                lambda n=name, w=what, all_=number: (
                    value("worker", f"millrace_event_{w}_seconds_count", type=n) == all_
                ),
                10,
                f"{what} of each {name}",
            )
        # A bundle that took long was cut: its rest was started twice, and worked once.
        assert value("worker", "millrace_events_started_total", type=name) >= number + lost
        assert value("worker", "millrace_events_finished_total", type=name) == number
        assert value("worker", "millrace_events_finished_total", type=name, outcome="done") == number
        assert value("worker", "millrace_tickets_failed_total", type=name) == lost
        for word in ("accepted", "done"):
            wait(
                lambda n=name, w=word, all_=number: (
                    value("clock", "millrace_events_tallied_total", type=n, word=w) == all_
                ),
                15,
                f"the ledger's own count of {name}: {word}",
            )
        assert value("clock", "millrace_events_open", type=name) == 0
    assert value("worker", "millrace_tickets_failed_total", type=ALONE, outcome="worker_lost") == 1
    for what in ("tickets", "events"):
        assert value("worker", f"millrace_{what}_started_total", type=ALONE) == len(alone) + 1
    assert value("worker", "millrace_tickets_started_total", type=TYPE) == _tickets(road, TYPE), "joined ones, too"
    # Those of canaries and their ticks, too, which come and go meanwhile.
    wait(lambda: _published(watched) == _tickets(road), 20, "each ticket in the ledger was published once")
    wait(lambda: value("worker", "millrace_worker_tickets_running") == 0, 10, "nothing runs")
    new = {path for path in road.folder.rglob("*") if path.suffix != ".log"} - files
    assert {path for path in new if gate.folder not in path.parents and path != gate.folder} == set()


def _tickets(road: Road, type_name: str | None = None) -> int:
    """How many tickets the events in the ledger came with."""
    where = "where type = %s" if type_name else "where %s is null"
    return int(road.one(f"select count(distinct ticket_id) from millrace.events {where}", type_name))


def _published(watched: Watched) -> float:
    name = "millrace_tickets_published_total"
    return sum(watched.value(role, name, outcome="confirmed") for role in ("web", "clock"))


def test_what_a_child_had_no_time_to_report_is_in_the_ledgers_tallies(watched: Watched) -> None:
    """It dies between its commit and its report: the worker never counts that event as done, the ledger does."""
    ids: list[str] = []

    def counted() -> list[float]:
        name = "millrace_events_finished_total"
        return [watched.value("worker", name, type=OTHER, outcome=one) for one in ("done", "skipped")]

    for _ in range(3):  # A canary may be the one that it strikes.
        watched.crash.touch()
        ids.extend(accepted([watched.door.post(OTHER)]))
        wait(lambda: not watched.crash.exists(), 20, "a child dies after its commit")
        watched.road.assert_worked_once(ids)
        wait(
            lambda: watched.value("clock", "millrace_events_tallied_total", type=OTHER, word="done") == len(ids),
            15,
            "the tallies have all of them",
        )
        wait(lambda: sum(counted()) >= len(ids), 15, "the worker has counted all, whatever came of them")
        if counted()[1]:
            break
    assert counted()[0] == len(ids) - 1
    assert counted()[1] == 1, "its ticket came again, and found it closed"
    assert watched.value("worker", "millrace_tickets_failed_total", type=OTHER, outcome="worker_lost") == 1
    assert watched.value("worker", "millrace_tickets_redelivered_total", type=OTHER) >= 1


def test_canaries_of_every_queue_arrive(watched: Watched) -> None:
    for queue in ("events", "periodic"):
        wait(
            lambda q=queue: watched.value("clock", "millrace_canary_latency_seconds_count", queue=q) >= 2,
            30,
            f"canaries of the queue {queue}",
        )
        assert watched.value("clock", "millrace_canary_sent_total", queue=queue) >= 2
    assert watched.value("clock", "millrace_canary_lost_total") == 0
    # A handler names this one, and no worker takes it: none is sent, which would be lost.
    assert watched.value("clock", "millrace_queue_info", queue="http") == 1
    assert watched.value("clock", "millrace_canary_sent_total", queue="http") == 0


def test_what_a_child_met_in_the_ledger_is_counted_by_its_parent(watched: Watched) -> None:
    watched.door.post("ledger.alone", number=10**30)
    wait(
        lambda: watched.value("worker", "millrace_ledger_faults_total", fault="data") >= 1, 20, "a number out of range"
    )


def test_a_request_that_was_traced_is_an_example_in_the_histogram(watched: Watched) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    request = urllib.request.Request(
        f"http://{watched.door.address}/v1/events/{TYPE}",
        b"{}",
        {"Content-Type": "application/json", "traceparent": f"00-{trace}-b7ad6b7169203331-01"},
    )
    with urllib.request.urlopen(request, timeout=20 * PATIENCE) as answer:
        assert answer.status == 202
    wait(lambda: {"trace_id": trace} in _examples(watched), 10, "the request is an example")


def _examples(watched: Watched) -> list[dict[str, str]]:
    text = watched.text("web", "application/openmetrics-text; version=1.0.0")
    return [
        sample.exemplar.labels
        for family in openmetrics.text_string_to_metric_families(text)
        if family.name == "millrace_http_request_duration_seconds"
        for sample in family.samples
        if sample.exemplar
    ]


def test_nothing_is_written_for_metrics(watched: Watched) -> None:
    for process in (one for several in watched.processes.values() for one in several):
        open_files = {
            os.readlink(path) for path in pathlib.Path(f"/proc/{process.pid}/fd").iterdir() if path.is_symlink()
        }
        assert not [name for name in open_files if name.endswith(".db")], (
            "files of prometheus_client's multiprocess mode"
        )


def test_every_duty_of_a_clock_is_told_of_by_its_name(watched: Watched) -> None:
    name = "millrace_duty_last_success_timestamp_seconds"

    def done() -> set[str]:
        families = parser.text_string_to_metric_families(watched.text("clock"))
        return {s.labels["duty"] for family in families if family.name == name for s in family.samples if s.value > 0}

    wait(lambda: done() >= set(catalogue.DUTIES), 30, f"all of {catalogue.DUTIES} are done")
    assert done() == set(catalogue.DUTIES)
