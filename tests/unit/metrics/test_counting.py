"""What signals send is counted: once, by names that are known, whatever is sent."""

from __future__ import annotations

import os
import threading

import prometheus_client
import pytest

from service import signals
from service.domain import topology
from service.telemetry import catalogue, instruments, metrics
from tests.unit.metrics.scraping import DONE, REPORT, counting, ticket, value


def test_every_report_is_counted_once_by_event() -> None:
    with counting("worker", types=["a.b"]) as found:
        for _ in range(10):
            signals.ticket_started.send(None, type="a.b", count=6)
            signals.ticket_finished.send(None, report=REPORT)
        signals.ticket_started.send(None, type="a.b", count=0, redelivered=True)
        signals.ticket_started.send(None, type="a.b", tickets=7, count=0)
        signals.ticket_failed.send(None, type="a.b", tickets=7, outcome="worker_lost")
    for word, n in DONE.items():
        labels = {"type": "a.b", "outcome": word}
        assert value(found, "millrace_events_finished_total", **labels) == 10 * n
    assert value(found, "millrace_tickets_started_total", type="a.b") == 18
    assert value(found, "millrace_tickets_failed_total", type="a.b", outcome="worker_lost") == 7
    assert value(found, "millrace_worker_children_lost_total", type="a.b") == 1
    assert value(found, "millrace_tickets_redelivered_total", type="a.b") == 1
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
    with counting("clock", schedules=["hourly"], queues=["events", "reports"]) as found:
        signals.tickets_counted.send(None, due=1, held=4, out=2, overdue={"events": 5})
        signals.tickets_counted.send(None, due=1, held=4, out=2, overdue={"reports": 3, "x": 1, "y": 1})
        signals.slots_settled.send(None, late={"hourly": [-0.5, 0.25]}, skipped={("hourly", "paused"): 3})
        signals.schedules_succeeded.send(None, last={"hourly": 1.5}, expected={})
        signals.message_returned.send(None, ours=True, reason="delivery_limit")
        signals.message_returned.send(None, ours=False, reason="unknown")
    assert [value(found, f"millrace_tickets_{n}") for n in ("due", "out", "held")] == [1, 2, 4]
    overdue = [value(found, "millrace_tickets_overdue", queue=q) for q in ("events", "reports", "other")]
    assert overdue == [0, 3, 2]
    assert value(found, "millrace_slots_fired_total", schedule="hourly") == 2
    assert value(found, "millrace_slot_lateness_seconds_sum", schedule="hourly") == 0.25
    assert value(found, "millrace_slots_skipped_total", schedule="hourly", reason="paused") == 3
    assert value(found, "millrace_schedule_last_success_timestamp_seconds", schedule="hourly") == 1.5
    ours = {"owner": "ours", "reason": "delivery_limit"}
    stray = {"owner": "stray", "reason": "other"}
    assert value(found, "millrace_messages_returned_total", **ours) == 1
    assert value(found, "millrace_messages_returned_total", **stray) == 1


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
        # A clock that begins late does not make a rush of all that was before it.
        assert value(found, "millrace_events_tallied_total", type="a.b", word="accepted") is None
        for sums in ({("a.b", "accepted"): 5}, {("a.b", "accepted"): 8}):
            signals.tallies_read.send(None, sums=sums, opened={"a.b": 2, "x.y": 1, "z.z": 1})
        assert value(found, "millrace_events_tallied_total", type="a.b", word="accepted") == 8
        assert value(found, "millrace_events_tallied_total", type="other", word="dead") == 0
        assert value(found, "millrace_events_open", type="other") == 2
