"""Serving: to slow scrapers, on ports that are taken, across forks, and never in the way of work."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import socket

import prometheus_client
import pytest
from prometheus_client.openmetrics import parser as openmetrics

from monitoring.grafana.write import TRACED
from service import settings, signals
from service.telemetry import exposition, metrics
from tests.unit.metrics.scraping import REPORT, counting, free_ports, get, listening, serving, value


def test_what_a_process_says_of_itself_is_served_beside_the_metrics() -> None:
    pages = {"/healthz": lambda: (True, {"status": "starting"}), "/readyz": lambda: (False, {"status": "starting"})}
    with counting("worker") as found, serving(found.registry, pages) as port:
        said = "application/json", '{"status": "starting"}'
        assert get(port, "/healthz") == (200, *said)
        assert get(port, "/readyz") == (503, *said)
    with counting("web") as found, serving(found.registry) as port:
        assert get(port, "/healthz")[0] == 404


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
    first = free_ports(exposition.STEP + 1)
    following = first + exposition.STEP
    with listening(first), counting("web") as found:
        server = exposition.open_server("127.0.0.1", first, found.registry)
        assert server is not None
        assert server.port == following
        assert get(following)[0] == 200
        server.shutdown()
        server.server_close()
    place = f"http://127.0.0.1:{following}/metrics"
    assert [r.getMessage() for r in caplog.records] == [f"Metrics are at {place}, because port {first} is taken"]


def test_no_role_takes_a_port_at_which_another_one_is_looked_for() -> None:
    """Prometheus says what a process is by where it found it: a web at a worker's port would be a worker that lives."""
    tried = {
        role: {*range(first, first + exposition.STEP * exposition.TRIES, exposition.STEP)}
        for role, first in exposition.PORTS.items()
    }
    with contextlib.ExitStack() as stack:
        first = free_ports(exposition.STEP + 3)
        names = {role: first + port - exposition.PORTS["web"] for role, port in exposition.PORTS.items()}
        stack.enter_context(listening(names["web"]))
        with counting("web") as found:
            server = exposition.open_server("127.0.0.1", names["web"], found.registry)
            assert server is not None
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            assert server.port not in names.values()
    for one, other in itertools.combinations(tried, 2):
        assert not tried[one] & tried[other], f"{one} and {other}"


@pytest.mark.parametrize("host", ["127.0.0.1", "no.such.host.invalid", "203.0.113.7"])
def test_without_a_port_work_goes_on(host: str, caplog: pytest.LogCaptureFixture) -> None:
    count = exposition.STEP * exposition.TRIES
    first = free_ports(count)
    with contextlib.ExitStack() as stack:
        for port in range(first, first + count, exposition.STEP):
            stack.enter_context(listening(port))
        registry = prometheus_client.CollectorRegistry()
        assert exposition.open_server(host, first, registry) is None
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().startswith("This process serves no metrics, and goes on")


def test_serving_begins_once_per_process() -> None:
    chosen = settings.Settings(metrics_port=free_ports(exposition.STEP + 1))
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
    chosen = settings.Settings(metrics_port=free_ports(exposition.STEP + 1))
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


@pytest.mark.parametrize("seconds", [[0.02], [0.02, 0.7, 0.03]])
def test_the_longest_is_the_example_of_its_bucket_if_its_trace_is_kept(seconds: list[float]) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    for flags, expected in (("01", [(max(seconds), trace)]), ("00", [])):
        given = {**REPORT, "latencies": seconds, "trace": f"00-{trace}-b7ad6b7169203331-{flags}"}
        with counting("worker", types=["a.b"]) as found, serving(found.registry) as port:
            signals.ticket_finished.send(None, report=given)
            _, _, body = get(port, accept="application/openmetrics-text; version=1.0.0")
        shown = [found for name, *found in _examples(body) if name == "millrace_event_commit_latency_seconds_bucket"]
        assert shown == [list(one) for one in expected]


@pytest.mark.parametrize("runs", [1, 2])
def test_of_an_event_that_rode_alone_all_is_an_example(runs: int) -> None:
    """Of several it is not told which one waited longest."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    seconds = {name: [0.02] * runs for name in ("runs", "waits", "latencies")}
    report = {**REPORT, **seconds, "trace": f"00-{trace}-b7ad6b7169203331-01"}
    request = {"method": "POST", "route": "/v1/events/<name>", "code": 202, "seconds": 0.02}
    with counting("worker", types=["a.b"]) as found, serving(found.registry) as port:
        signals.ticket_finished.send(None, report=report)
        _, _, body = get(port, accept="application/openmetrics-text; version=1.0.0")
    named = {name.removesuffix("_bucket") for name, *_ in _examples(body)}
    with counting("web", routes=[("POST", "/v1/events/<name>")]) as found, serving(found.registry) as port:
        signals.request_finished.send(None, traceparent=report["trace"], **request)
        _, _, body = get(port, accept="application/openmetrics-text; version=1.0.0")
    named |= {name.removesuffix("_bucket") for name, *_ in _examples(body)}
    traced = {"millrace_http_request_duration_seconds", "millrace_event_commit_latency_seconds"}
    assert named == (set(TRACED) if runs == 1 else traced)


def _examples(body: str) -> list[tuple[str, float, str]]:
    """Series, value and trace of each."""
    return [
        (sample.name, sample.exemplar.value, sample.exemplar.labels["trace_id"])
        for family in openmetrics.text_string_to_metric_families(body)
        for sample in family.samples
        if sample.exemplar
    ]
