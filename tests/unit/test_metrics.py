"""Metrics: what is sent is counted, what is served is the catalogue, and nothing of it stops work."""

from __future__ import annotations

import contextlib
import http.client
import logging
import math
import os
import pathlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import blinker
import prometheus_client
import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

from service import settings, signals
from service.domain import ticket as tickets
from service.domain import topology
from service.telemetry import catalogue, exposition, instruments, metrics, reference, tracing

ROOT = pathlib.Path(__file__).parents[2]
DONE = {"done": 3, "retry": 1, "dead": 0, "snoozed": 0, "expired": 0, "skipped": 2}
REPORT = {"type": "a.b", **DONE, "runs": [0.01, 0.02, 0.02, 7], "latencies": [0.3, 0.4, 0.5]}


@contextlib.contextmanager
def counting(role: str, **known: Any) -> Iterator[metrics.Metrics]:
    """Metrics that listen inside of the block."""
    found = metrics.Metrics(role)
    found.know(**known)
    found.listen()
    try:
        yield found
    finally:
        found.close()


@contextlib.contextmanager
def serving(registry: prometheus_client.CollectorRegistry, health: exposition.Health | None = None) -> Iterator[int]:
    """A server; its port."""
    server = exposition.open_server("127.0.0.1", free_ports(1), registry, health)
    assert server is not None
    try:
        yield server.port
    finally:
        server.shutdown()
        server.server_close()


def free_ports(count: int) -> int:
    """The first of ``count`` ports in a row that were free a moment ago."""
    # Below the ports that the system gives away by itself, and apart from other test processes.
    for first in range(12_000 + os.getpid() * 50 % 18_000, 32_000, count):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(listening(port))
            except OSError:
                continue
            return first
    raise AssertionError("no free ports")


@contextlib.contextmanager
def listening(port: int) -> Iterator[None]:
    """Somebody else on a port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        yield


def get(port: int, path: str = "/metrics", accept: str = "") -> tuple[int, str, str]:
    """(status, content type, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers={"Accept": accept})
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()
    finally:
        connection.close()


def value(found: metrics.Metrics, name: str, **labels: str) -> float | None:
    """A sample; None if there is no such series."""
    return found.registry.get_sample_value(name, labels)


def ticket(number: int, exchange: str = topology.EVENTS) -> tickets.Ticket:
    """A ticket with an id of its own."""
    return tickets.Ticket(f"t{number}", "a.b", ("e",), exchange, "event.a.b", "events")


# --- the catalogue ------------------------------------------------------------------------------


@pytest.mark.parametrize("role", catalogue.ROLES)
def test_a_scrape_finds_exactly_the_catalogue(role: str) -> None:
    known = {"types": ["a.b"], "schedules": ["hourly"], "routes": [("GET", "/healthz")]}
    with counting(role, **known) as found, serving(found.registry) as port:
        status, _, body = get(port)
    families = {f.name: f for f in parser.text_string_to_metric_families(body) if f.name.startswith("mill")}
    expected = {m.name.removesuffix("_total"): m for m in catalogue.CATALOGUE if role in m.roles}
    assert status == 200
    assert families.keys() == expected.keys()
    for name, metric in expected.items():
        assert families[name].type == metric.kind.value
        assert families[name].documentation == metric.help
        assert families[name].samples, f"{name} has no series before something happens"
        for sample in families[name].samples:
            assert sample.labels.keys() - {"le"} == set(metric.label_names)


def test_names_follow_the_conventions() -> None:
    names = [m.name for m in catalogue.CATALOGUE]
    assert len(names) == len(set(names))
    for metric in catalogue.CATALOGUE:
        assert metric.name.startswith("millrace_")
        assert metric.name.endswith("_total") == (metric.kind is catalogue.Kind.COUNTER)
        assert metric.name.endswith("_seconds") or metric.kind is not catalogue.Kind.HISTOGRAM
        assert bool(metric.buckets) == (metric.kind is catalogue.Kind.HISTOGRAM)
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert not [n for n in metric.label_names if n == "id" or n.endswith("_id")]
        assert all(bool(label.values) != bool(label.source) for label in metric.labels)


def test_the_page_agrees_with_the_catalogue() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert page == reference.page(), "run: python -m service.telemetry.catalogue > docs/metrics.md"


def test_every_signal_is_listened_to() -> None:
    names = [n for n, found in vars(signals).items() if isinstance(found, blinker.Signal)]
    assert names
    listeners = {*vars(metrics.Metrics), *(f"on_{name}" for name in tracing.NAMES)}
    others = {"ticket_over"}  # The worker's consumer has it.
    assert [n for n in names if f"on_{n}" not in listeners and n not in others] == []


def test_label_sets_begin_at_zero_and_gauges_without_a_value() -> None:
    with counting("worker", types=["a.b"]) as found:
        for word in DONE:
            labels = {"type": "a.b", "outcome": word}
            assert value(found, "millrace_events_finished_total", **labels) == 0
        assert value(found, "millrace_event_run_duration_seconds_count", type="a.b") == 0
        assert math.isnan(value(found, "millrace_connection_up", peer="broker") or 0)
    with counting("web", routes=[("POST", "/v1/events/<type>")]) as found:
        labels = {"method": "POST", "route": "/v1/events/<type>", "code": "503"}
        assert value(found, "millrace_http_requests_total", **labels) == 0
    with counting("clock") as found:
        assert math.isnan(value(found, "millrace_tickets_due") or 0)


# --- counting -----------------------------------------------------------------------------------


def test_every_report_is_counted_once_by_event() -> None:
    with counting("worker", types=["a.b"]) as found:
        for _ in range(10):
            signals.ticket_started.send(None, type="a.b", count=6)
            signals.ticket_finished.send(None, report=REPORT)
    for word, n in DONE.items():
        labels = {"type": "a.b", "outcome": word}
        assert value(found, "millrace_events_finished_total", **labels) == 10 * n
    assert value(found, "millrace_tickets_started_total", type="a.b") == 10
    assert value(found, "millrace_events_started_total", type="a.b") == 60
    assert value(found, "millrace_event_run_duration_seconds_count", type="a.b") == 40
    total = value(found, "millrace_event_run_duration_seconds_sum", type="a.b")
    assert total == pytest.approx(70.5)
    short = {"type": "a.b", "le": "0.025"}
    assert value(found, "millrace_event_run_duration_seconds_bucket", **short) == 30
    assert value(found, "millrace_event_commit_latency_seconds_count", type="a.b") == 30


def test_an_unknown_type_schedule_route_or_word_is_other() -> None:
    with counting("worker", types=["a.b"]) as worker:
        signals.ticket_finished.send(None, report={**REPORT, "type": "c.d"})
        signals.ticket_failed.send(None, type="c.d", outcome="eaten")
    other = {"type": "other", "outcome": "done"}
    assert value(worker, "millrace_events_finished_total", **other) == 3
    other["outcome"] = "other"
    assert value(worker, "millrace_tickets_failed_total", **other) == 1
    with counting("clock") as clock:
        signals.slots_settled.send(None, late={"s": [0.1]}, skipped={})
    assert value(clock, "millrace_slots_fired_total", schedule="other") == 1
    with counting("web", routes=[("GET", "/healthz")]) as web:
        signals.request_finished.send(None, method="BREW", route="/x/1", code=404, seconds=0.1)
    labels = {"method": "other", "route": "other", "code": "404"}
    assert value(web, "millrace_http_requests_total", **labels) == 1


def test_accepted_published_and_answered_are_counted() -> None:
    batch = [ticket(1), ticket(2), ticket(3, topology.PERIODIC)]
    with counting("web", types=["a.b"], routes=[("GET", "/healthz")]) as found:
        signals.events_accepted.send(None, counts={"a.b": 5}, outcome="accepted")
        for reached, confirmed in ((True, {"t1", "t3"}), (False, set[str]())):
            given = {"batch": batch, "confirmed": confirmed, "reached": reached}
            signals.tickets_published.send(None, **given, seconds=0.2)
        signals.connection_changed.send(None, peer="broker", up=True)
        answered = {"method": "GET", "route": "/healthz", "code": 200, "seconds": 0.001}
        signals.request_finished.send(None, **answered)
    labels = {"type": "a.b", "outcome": "accepted"}
    assert value(found, "millrace_events_accepted_total", **labels) == 5
    published = {
        (exchange, word): value(found, "millrace_tickets_published_total", exchange=exchange, outcome=word)
        for exchange in (topology.EVENTS, topology.PERIODIC)
        for word in ("confirmed", "unconfirmed", "unavailable")
    }
    assert list(published.values()) == [1, 1, 2, 1, 0, 1]
    assert value(found, "millrace_publish_duration_seconds_count") == 2
    assert value(found, "millrace_connection_up", peer="broker") == 1
    place = {"method": "GET", "route": "/healthz"}
    assert value(found, "millrace_http_requests_total", **place, code="200") == 1
    assert value(found, "millrace_http_request_duration_seconds_count", **place) == 1


def test_the_clock_counts_tickets_slots_and_returned_messages() -> None:
    with counting("clock", schedules=["hourly"]) as found:
        signals.tickets_counted.send(None, due=1, out=2, overdue=3)
        signals.slots_settled.send(None, late={"hourly": [-0.5, 0.25]}, skipped={("hourly", "paused"): 3})
        signals.schedules_succeeded.send(None, last={"hourly": 1.5})
        signals.message_returned.send(None, ours=True, reason="delivery_limit")
        signals.message_returned.send(None, ours=False, reason="unknown")
    assert [value(found, f"millrace_tickets_{n}") for n in ("due", "out", "overdue")] == [1, 2, 3]
    assert value(found, "millrace_slots_fired_total", schedule="hourly") == 2
    assert value(found, "millrace_slot_lateness_seconds_sum", schedule="hourly") == 0.25
    assert value(found, "millrace_slots_skipped_total", schedule="hourly", reason="paused") == 3
    assert value(found, "millrace_schedule_last_success_timestamp_seconds", schedule="hourly") == 1.5
    ours = {"owner": "ours", "reason": "delivery_limit"}
    stray = {"owner": "stray", "reason": "other"}
    assert value(found, "millrace_messages_returned_total", **ours) == 1
    assert value(found, "millrace_messages_returned_total", **stray) == 1


@pytest.mark.parametrize(("healthy", "status"), [(True, 200), (False, 503)])
def test_health_is_served_beside_the_metrics_where_the_process_can_say(healthy: bool, status: int) -> None:
    with counting("clock") as found, serving(found.registry, lambda: (healthy, {"ok": healthy})) as port:
        assert get(port, "/healthz") == (status, "application/json", f'{{"ok": {str(healthy).lower()}}}')
    with counting("worker") as found, serving(found.registry) as port:
        assert get(port, "/healthz")[0] == 404


def test_threads_lose_no_count() -> None:
    def work() -> None:
        for _ in range(200):
            signals.ticket_finished.send(None, report=REPORT)

    with counting("worker", types=["a.b"]) as found:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for n in range(20):
            found.know(types=[f"later.{n}"])
            prometheus_client.generate_latest(found.registry)
        for thread in threads:
            thread.join()
    labels = {"type": "a.b", "outcome": "done"}
    assert value(found, "millrace_events_finished_total", **labels) == 8 * 200 * 3
    assert value(found, "millrace_event_run_duration_seconds_count", type="a.b") == 8 * 200 * 4


def test_a_fault_in_counting_does_not_reach_the_sender(caplog: pytest.LogCaptureFixture) -> None:
    with counting("worker") as found:
        signals.ticket_finished.send(None, report="nonsense")
        signals.ticket_finished.send(None, report={"done": "many"})
        signals.ticket_started.send(None, kind="wrong word")
    assert [r.getMessage() for r in caplog.records] == ["Something could not be counted"] * 2
    assert value(found, "millrace_tickets_started_total", type="other") == 0


def test_a_process_forked_off_counts_nothing() -> None:
    with counting("worker", types=["a.b"]) as found:
        child = os.fork()
        if child == 0:
            signals.ticket_finished.send(None, report=REPORT)
            labels = {"type": "a.b", "outcome": "done"}
            os._exit(int(value(found, "millrace_events_finished_total", **labels) or 0))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# --- serving ------------------------------------------------------------------------------------


def test_only_metrics_are_served() -> None:
    with counting("web") as found, serving(found.registry) as port:
        assert get(port, "/metrics?a=b")[0] == 200
        for path in ("/", "/metrics/", "/other", "/favicon.ico"):
            assert get(port, path)[0] == 404


def test_the_scraper_chooses_the_form_and_no_created_series_appear() -> None:
    with counting("web") as found, serving(found.registry) as port:
        _, plain_type, plain = get(port)
        accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
        _, open_type, body = get(port, accept=accept)
    assert plain_type.startswith("text/plain; version=0.0.4")
    assert open_type.startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith("# EOF\n")
    assert "millrace_events_accepted" in {f.name for f in openmetrics.text_string_to_metric_families(body)}
    assert "_created" not in plain + body


@pytest.mark.fault(58)
def test_a_slow_scraper_holds_up_nobody() -> None:
    with counting("web") as found, serving(found.registry) as port, contextlib.ExitStack() as stack:
        for _ in range(exposition.SCRAPERS - 1):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            slow.sendall(b"GET /metr")
        assert get(port)[0] == 200


def test_a_taken_port_takes_the_next_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "millrace.metrics")
    first = free_ports(2)
    with listening(first), counting("web") as found:
        server = exposition.open_server("127.0.0.1", first, found.registry)
        assert server is not None
        assert server.port == first + 1
        assert get(first + 1)[0] == 200
        server.shutdown()
        server.server_close()
    place = f"http://127.0.0.1:{first + 1}/metrics"
    assert [r.getMessage() for r in caplog.records] == [f"Metrics are at {place}, because port {first} is taken"]


@pytest.mark.parametrize("host", ["127.0.0.1", "no.such.host.invalid", "203.0.113.7"])
def test_without_a_port_work_goes_on(host: str, caplog: pytest.LogCaptureFixture) -> None:
    first = free_ports(exposition.TRIES)
    with contextlib.ExitStack() as stack:
        for port in range(first, first + exposition.TRIES):
            stack.enter_context(listening(port))
        registry = prometheus_client.CollectorRegistry()
        assert exposition.open_server(host, first, registry) is None
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().startswith("This process serves no metrics, and goes on")


def test_serving_begins_once_per_process() -> None:
    chosen = settings.Settings(metrics_port=free_ports(3))
    try:
        first = exposition.serve(chosen, "worker")
        found = metrics.install("worker", ["a.b"])
        assert exposition.serve(chosen, "worker") == first
        assert metrics.install("worker", ["c.d"]) is found
        signals.ticket_finished.send(None, report=REPORT)
        child = os.fork()
        if child == 0:
            mine = metrics.installed() is None and exposition.serve(chosen, "worker") not in (
                None,
                first,
            )
            fresh = metrics.install("worker", ["a.b"])
            labels = {"type": "a.b", "outcome": "done"}
            signals.ticket_finished.send(None, report=REPORT)
            counted = value(fresh, "millrace_events_finished_total", **labels) == 3
            os._exit(0 if mine and counted else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert 'millrace_events_finished_total{outcome="done",type="a.b"} 3.0' in get(first or 0)[2]
    finally:
        exposition.stop()
        metrics.uninstall()


def test_a_child_does_not_keep_the_port_of_its_parent() -> None:
    chosen = settings.Settings(metrics_port=free_ports(2))
    reading, writing = os.pipe()
    try:
        port = exposition.serve(chosen, "worker")
        child = os.fork()
        if child == 0:
            os.read(reading, 1)
            os._exit(0)
        exposition.stop()
        assert exposition.serve(chosen, "worker") == port
        os.write(writing, b".")
        os.waitpid(child, 0)
    finally:
        exposition.stop()
        metrics.uninstall()
        os.close(reading)
        os.close(writing)


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(ValueError, match="one of web, worker, clock is wanted, not 'cook'"):
        metrics.Metrics("cook")


@pytest.mark.parametrize("seconds", [[], [0.001], [0.001953125, 900, 901, 2**30, -3, 0.0625, 0.0625]])
def test_many_durations_at_once_count_like_one_by_one(seconds: list[float]) -> None:
    at_once, one_by_one = (prometheus_client.CollectorRegistry() for _ in range(2))
    together = instruments.Durations("d", "", registry=at_once, buckets=catalogue.RUN)
    apart = prometheus_client.Histogram("d", "", registry=one_by_one, buckets=catalogue.RUN)
    together.observe_all(seconds)
    for one in seconds:
        apart.observe(max(0.0, one))
    assert prometheus_client.generate_latest(at_once) == prometheus_client.generate_latest(one_by_one)


@pytest.mark.parametrize("seconds", [[0.02], [0.02, 0.7, 0.03]])
def test_the_longest_is_the_example_of_its_bucket_if_its_trace_is_kept(seconds: list[float]) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    for flags, expected in (("01", [(max(seconds), trace)]), ("00", [])):
        given = {**REPORT, "latencies": seconds, "trace": f"00-{trace}-b7ad6b7169203331-{flags}"}
        with counting("worker", types=["a.b"]) as found, serving(found.registry) as port:
            signals.ticket_finished.send(None, report=given)
            _, _, body = get(port, accept="application/openmetrics-text; version=1.0.0")
        shown = [
            (sample.exemplar.value, sample.exemplar.labels["trace_id"])
            for family in openmetrics.text_string_to_metric_families(body)
            for sample in family.samples
            if sample.exemplar
        ]
        assert shown == expected


def test_a_worker_that_finishes_nothing_is_seen_and_one_that_runs_for_hours_is_not_blamed() -> None:
    with counting("worker", types=["a.b", "c.long"], detached=["c.long"]) as found:
        assert value(found, "millrace_worker_tickets_running") == 0
        signals.ticket_started.send(None, type="a.b", count=1)
        signals.ticket_started.send(None, type="c.long", count=1)
        assert value(found, "millrace_worker_tickets_running") == 1
        first = value(found, "millrace_worker_last_progress_timestamp_seconds")
        signals.ticket_started.send(None, type="a.b", count=1)
        assert value(found, "millrace_worker_last_progress_timestamp_seconds") == first
        signals.ticket_failed.send(None, type="a.b", outcome="worker_lost")
        assert (value(found, "millrace_worker_last_progress_timestamp_seconds") or 0) > (first or 0)
        signals.ticket_finished.send(None, report=REPORT)
        assert value(found, "millrace_worker_tickets_running") == 0


def test_gauges_of_the_ledger_fall_to_zero_when_nothing_is_there_any_more() -> None:
    with counting("clock", types=["a.b"], queues=["events"]) as found:
        place = {"queue": "events", "type": "a.b"}
        signals.waiting_seen.send(None, waits={("events", "a.b"): 7.0, ("events", "x.y"): 9.0, ("events", "z.z"): 3.0})
        assert value(found, "millrace_oldest_waiting_seconds", **place) == 7
        assert value(found, "millrace_oldest_waiting_seconds", queue="events", type="other") == 9
        signals.waiting_seen.send(None, waits={})
        assert value(found, "millrace_oldest_waiting_seconds", **place) == 0
        for sums in ({("a.b", "accepted"): 5}, {("a.b", "accepted"): 8}):
            signals.tallies_read.send(None, sums=sums, opened={"a.b": 2, "x.y": 1, "z.z": 1})
        assert value(found, "millrace_events_tallied_total", type="a.b", word="accepted") == 8
        assert value(found, "millrace_events_open", type="other") == 2
