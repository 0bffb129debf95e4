"""What is seen now and then: shown while it is fresh; what is counted by closed lists, and is there from the start."""

from __future__ import annotations

import http
import math
import pathlib
import time
from collections.abc import Callable

import pytest

from service import signals
from service.domain.faults import Fault
from service.telemetry import catalogue, certificates
from service.web import errors as web_errors
from tests.certificates import Authority
from tests.unit.metrics.scraping import REPORT, counting, value


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets time go by."""
    real, gone = time.monotonic, [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: real() + gone[0])

    def wait(seconds: float) -> None:
        gone[0] += seconds

    return wait


def test_what_a_clock_saw_last_is_not_shown_for_ever(later: Callable[[float], None]) -> None:
    place = {"queue": "events", "type": "a.b"}
    with counting("clock", types=["a.b"], queues=["events"]) as found:

        def shown() -> list[float | None]:
            names = ("tickets_due", "tickets_out", "partitions_ahead", "clock_lateness_seconds")
            flat = [value(found, f"millrace_{name}") for name in names]
            return [*flat, value(found, "millrace_oldest_waiting_seconds", **place)]

        def look() -> None:
            signals.tickets_counted.send(None, due=1, held=0, out=2, overdue={})
            signals.balance_seen.send(None, without_ticket=0, checked=9, partitions=14)
            signals.schedules_seen.send(None, late=3.0)
            signals.waiting_seen.send(None, waits={("events", "a.b"): 700.0})

        look()
        assert shown() == [1, 2, 14, 3, 700]
        later(catalogue.SHOWN_SLOTS)
        assert math.isnan(shown()[3] or 0)
        later(catalogue.SHOWN - catalogue.SHOWN_SLOTS - 5)
        assert [shown()[place] for place in (0, 1, 2, 4)] == [1, 2, 14, 700]
        later(5)
        assert all(math.isnan(one or 0) for one in shown())
        assert value(found, "millrace_events_checked_total") == 9, "a counter stays"
        look()
        assert shown() == [1, 2, 14, 3, 700]


def test_every_gauge_of_what_a_clock_looks_at_says_for_how_long_it_is_shown() -> None:
    """A gauge that stays is one that only its own process can change."""
    stays = {m.name for m in catalogue.CATALOGUE if m.kind is catalogue.Kind.GAUGE and not m.shown}
    assert stays == {
        "millrace_build_info",
        "millrace_connection_up",
        "millrace_certificate_expires_timestamp_seconds",
        "millrace_duty_last_success_timestamp_seconds",
        "millrace_objective_start_ratio",
        "millrace_objective_start_seconds",
        "millrace_objective_success_ratio",
        "millrace_queue_info",
        "millrace_worker_hard_limit_seconds",
        "millrace_worker_last_progress_timestamp_seconds",
        "millrace_worker_tickets_running",
    }


def test_the_codes_of_answers_are_a_closed_list() -> None:
    known = set(catalogue.CODE.values)
    assert {str(status) for status in web_errors.STATUS.values()} <= known
    assert "207" in known
    with counting("web", routes=[("POST", "/v1/events/<name>"), ("GET", "/healthz")]) as found:
        for code in (202, 299, 777, 99):
            signals.request_finished.send(None, method="POST", route="/v1/events/<name>", code=code, seconds=0.1)
        place = {"method": "POST", "route": "/v1/events/<name>"}
        assert value(found, "millrace_http_requests_total", **place, code="202") == 1
        assert value(found, "millrace_http_requests_total", **place, code="other") == 3
        assert value(found, "millrace_http_requests_total", **place, code="777") is None


def test_what_posts_are_answered_with_is_there_at_zero() -> None:
    with counting("web", routes=[("POST", "/v1/events/<name>"), ("GET", "/healthz")]) as found:
        for code in ("202", "401", "422", "429", "500", "503"):
            labels = {"method": "POST", "route": "/v1/events/<name>", "code": code}
            assert value(found, "millrace_http_requests_total", **labels) == 0, code
        for code in ("500", "503"):
            labels = {"method": "GET", "route": "/healthz", "code": code}
            assert value(found, "millrace_http_requests_total", **labels) == 0, code
        assert len(catalogue.CODE.values) < len(http.HTTPStatus)


def test_methods_that_every_route_has_take_no_room_until_somebody_uses_them() -> None:
    name = "millrace_http_request_duration_seconds_count"
    with counting("web", routes=[(method, "/healthz") for method in ("GET", "HEAD")]) as found:
        assert value(found, name, method="GET", route="/healthz") == 0
        assert value(found, name, method="HEAD", route="/healthz") is None
        signals.request_finished.send(None, method="HEAD", route="/healthz", code=200, seconds=0.1)
        assert value(found, name, method="HEAD", route="/healthz") == 1


def test_faults_of_the_ledger_are_counted_where_they_are_met_and_a_childs_by_its_parent() -> None:
    for role in catalogue.ROLES:
        with counting(role) as found:
            assert all(value(found, "millrace_ledger_faults_total", fault=fault) == 0 for fault in Fault)
            signals.ledger_failed.send(None, fault=Fault.DEADLOCK)
            assert value(found, "millrace_ledger_faults_total", fault="deadlock") == 1
    with counting("worker", types=["a.b"]) as found:
        signals.ticket_finished.send(None, report={**REPORT, "faults": {"read_only": 2, "unheard_of": 1}})
        assert value(found, "millrace_ledger_faults_total", fault="read_only") == 2
        assert value(found, "millrace_ledger_faults_total", fault="other") == 1


def test_refusals_are_counted_by_reason() -> None:
    with counting("web") as found:
        assert all(value(found, "millrace_access_refused_total", reason=r) == 0 for r in catalogue.REFUSAL.values)
        signals.access_refused.send(None, reason="bad_credential")
        assert value(found, "millrace_access_refused_total", reason="bad_credential") == 1


def test_a_clock_tells_which_queues_are_work_queues() -> None:
    with counting("clock", queues=["events", "reports"]) as found:
        signals.queues_declared.send(None, vhost="/shop", queues=["events", "reports"])
        for queue in ("events", "reports"):
            assert value(found, "millrace_queue_info", vhost="/shop", queue=queue) == 1
        assert value(found, "millrace_queue_info", vhost="/shop", queue="dead") is None


def test_nobody_expects_a_success_of_a_schedule_that_was_paused() -> None:
    with counting("clock", schedules=["hourly", "daily"]) as found:
        name = "millrace_schedule_expected_timestamp_seconds"
        signals.schedules_succeeded.send(None, last={}, expected={"hourly": 3.0, "daily": 4.0})
        assert [value(found, name, schedule=one) for one in ("hourly", "daily")] == [3, 4]
        signals.schedules_succeeded.send(None, last={}, expected={"daily": 5.0})
        assert math.isnan(value(found, name, schedule="hourly") or 0)
        assert value(found, name, schedule="daily") == 5


def test_a_certificate_of_the_settings_is_told_and_read_again_when_it_was_renewed(tmp_path: pathlib.Path) -> None:
    authority = Authority(tmp_path)
    old, _ = authority.sign("old", days=3)
    new, _ = authority.sign("new", days=20)
    ours = tmp_path / "client.crt"
    ours.write_bytes(old.read_bytes())
    until = certificates.named(f"amqps://u:p@host/?certfile={ours}&cacertfile={authority.certificate}")
    assert until is not None
    name = "millrace_certificate_expires_timestamp_seconds"

    def days() -> float:
        return round(((value(found, name, of="broker") or 0) - time.time()) / 86_400)

    with counting("worker") as found:
        assert math.isnan(value(found, name, of="broker") or 0)
        signals.certificates_named.send(None, of="broker", until=until)
        assert days() == 3
        renewed = tmp_path / "renewed.crt"
        renewed.write_bytes(new.read_bytes())
        renewed.replace(ours)
        assert days() == 20
        ours.write_bytes(new.read_bytes() + authority.certificate.read_bytes() * certificates.CHAIN)
        assert days() == 30, "a bundle of authorities says nothing; the one beside it does"
        ours.unlink()
        authority.certificate.write_text("nonsense")
        assert math.isnan(value(found, name, of="broker") or 0)
    assert certificates.named("postgresql://u:p@host/db?sslmode=require") is None
