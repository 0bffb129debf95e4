"""Traces: one context from the client's request through the handler to what it calls, under prefork."""

from __future__ import annotations

import datetime
import http.client
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from service import signals
from service.domain import errors
from service.domain.event import Event
from service.ledger import migrate
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from service.settings import Settings
from service.telemetry import tracing
from tests.door import Door
from tests.monitoring.receiver import Receiver, Span
from tests.patience import PATIENCE, wait
from tests.road import Road

CLIENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE = CLIENT.split("-")[1]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """Where spans go."""
    found = Receiver().start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def road(
    postgres: PostgresServer, rabbitmq: RabbitNode, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Road]:
    """A road whose processes are traced."""
    postgres.execute("create database traced")
    broker = rabbitmq.add_vhost(f"traced-{uuid.uuid4().hex[:8]}")
    folder = tmp_path_factory.mktemp("traced")
    apps = "tests.apps.traced_app,workers.http"
    known = {"apps": apps, "otlp_url": receiver.url, "request_networks": "127.0.0.1/32"}
    found = Road(postgres.dsn_of("traced"), broker, folder, **known)
    migrate.migrate(found.database)
    found.declare("http")
    yield found
    found.stop()


@pytest.fixture(scope="module")
def door(road: Road) -> Door:
    """The door of that road, with a worker behind it."""
    # A child exports every five seconds, which is longer than it lives: only its end brings its spans out.
    road.worker("prefork", "--max-tasks-per-child", "2", queues="events,periodic,http")
    road.clock()
    return road.web()


class TestOnTheRoad:
    """A web process and a worker whose children are recycled after two tickets each."""

    def test_a_trace_goes_from_the_client_to_what_the_handler_calls(self, door: Door, receiver: Receiver) -> None:
        event_id = post(door, "traced.call", {"url": receiver.url}, CLIENT)
        wait(lambda: receiver.calls, 20, "the handler has called")
        request = the(receiver, "POST /v1/events/<name>", TRACE)
        created = the(receiver, "create traced.call", TRACE)
        run = the(receiver, "process traced.call", TRACE)
        assert (request.kind, created.kind, run.kind) == ("SERVER", "PRODUCER", "CONSUMER")
        assert (request.parent, created.parent, run.parent) == (CLIENT.split("-")[2], request.id, created.id)
        assert receiver.calls == [run.traceparent]
        assert run.attributes["messaging.message.id"] == event_id
        assert run.attributes["messaging.system"] == "rabbitmq"
        assert run.attributes["messaging.operation.type"] == "process"
        assert request.attributes["http.response.status_code"] == 202
        assert (request.service, run.service) == ("millrace-web", "millrace-worker")
        assert request.process != run.process

    def test_a_trace_goes_on_in_an_event_that_a_handler_sends(self, door: Door, receiver: Receiver) -> None:
        trace, before = uuid.uuid4().hex, len(receiver.calls)
        post(door, "traced.emit", {"door": f"http://{door.address}", "url": receiver.url}, f"00-{trace}-{1:016x}-01")
        wait(lambda: len(receiver.calls) > before, 20, "the handler of the second event has called")
        first, second = the(receiver, "process traced.emit", trace), the(receiver, "process traced.call", trace)
        created = the(receiver, "create traced.call", trace)
        request = next(s for s in receiver.named("POST /v1/events/<name>") if s.id == created.parent)
        assert (request.trace, request.parent, second.parent) == (trace, first.id, created.id)
        assert receiver.calls[-1] == second.traceparent

    def test_a_request_over_http_stands_below_the_run_that_makes_it(self, door: Door, receiver: Receiver) -> None:
        trace, before = uuid.uuid4().hex, len(receiver.calls)
        post(door, "http.request", {"url": receiver.url}, f"00-{trace}-{1:016x}-01")
        wait(lambda: len(receiver.calls) > before, 20, "the request is made")
        run, created = the(receiver, "process http.request", trace), the(receiver, "create http.request", trace)
        assert run.parent == created.id
        assert receiver.calls[-1] == run.traceparent

    def test_each_event_of_a_request_has_a_span_of_its_own(self, door: Door, receiver: Receiver) -> None:
        trace = uuid.uuid4().hex
        lines = '{"type": "traced.bulk", "payload": {}}\n' * 2
        answer = send(door, "/v1/events", lines, f"00-{trace}-00f067aa0ba902b7-01", "application/x-ndjson")
        assert answer["accepted"] == 2
        request = the(receiver, "POST /v1/events", trace)
        wait(lambda: len([s for s in receiver.named("create traced.bulk") if s.trace == trace]) == 2, 20, "both")
        assert {s.parent for s in receiver.named("create traced.bulk") if s.trace == trace} == {request.id}

    def test_no_span_is_lost_when_children_are_recycled(self, door: Door, receiver: Receiver) -> None:
        ids = {post(door, "traced.later", {}, CLIENT) for _ in range(6)}
        wait(lambda: len(receiver.named("process traced.later")) >= 12, 40, "two runs of each event")
        runs = receiver.named("process traced.later")
        assert {run.attributes["messaging.message.id"] for run in runs} == ids
        assert sorted(run.attributes["millrace.attempt"] for run in runs) == [1] * 6 + [2] * 6
        assert [run.attributes.get("millrace.answer") for run in runs].count("retry") == 6
        assert len({run.process for run in runs}) >= 3, "no child was recycled"

    def test_a_failure_is_told_without_its_secrets(self, door: Door, receiver: Receiver) -> None:
        post(door, "traced.fail", {}, CLIENT)
        run = the(receiver, "process traced.fail", TRACE)
        assert run.attributes["error.type"] == "RuntimeError"
        assert run.error == "postgresql://me:***@ledger/x does not answer"

    def test_without_a_clients_context_a_trace_begins_here(self, door: Door, receiver: Receiver) -> None:
        before = len(receiver.calls)
        post(door, "traced.call", {"url": receiver.url}, "nonsense")
        wait(lambda: len(receiver.calls) > before, 20, "the handler has called")
        trace = receiver.calls[-1].split("-")[1]
        assert trace != TRACE
        assert the(receiver, "POST /v1/events/<name>", trace).parent == ""

    def test_a_worker_works_on_when_nobody_takes_its_spans(self, road: Road, door: Door, receiver: Receiver) -> None:
        receiver.stop()
        done = post(door, "traced.bulk", {}, CLIENT)
        road.wait_until_closed([done], 20)
        assert road.states([done]) == {"succeeded": 1}


class TestInOneProcess:
    """What the listeners do, told by signals as the road sends them."""

    @pytest.fixture
    def traced(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
        monkeypatch.setattr(tracing, "FLUSH", 20.0 * PATIENCE)
        monkeypatch.setattr(tracing, "EXPORT", 20.0 * PATIENCE)
        found = Receiver().start()
        tracing.install(Settings(otlp_url=found.url), "worker")
        yield found
        tracing.uninstall()
        found.stop()

    def test_events_of_a_bulk_handler_are_linked(self, traced: Receiver) -> None:
        contexts = [f"00-{n:032x}-{n:016x}-01" for n in (1, 2)]
        signals.asked(signals.run_begun, None, events=[event(c) for c in contexts], queue="events")
        signals.run_ended.send(None, answer=None, error=None)
        tracing.uninstall()
        [run] = traced.spans
        assert run.links == (f"{1:016x}", f"{2:016x}")
        assert run.attributes["messaging.batch.message_count"] == 2

    def test_requests_that_an_event_loop_serves_at_once_keep_apart(self, traced: Receiver) -> None:
        asked = [f"00-{n:032x}-{n:016x}-01" for n in (1, 2)]
        begun = [signals.asked(signals.request_begun, None, method="POST", traceparent=a) for a in asked]
        for code, own in zip((503, 202), reversed(begun), strict=True):
            signals.request_finished.send(None, method="POST", route="/", code=code, seconds=0.1, traceparent=own)
        tracing.uninstall()
        assert {(s.trace, s.attributes["http.response.status_code"]) for s in traced.spans} == {
            (f"{1:032x}", 202),
            (f"{2:032x}", 503),
        }

    def test_a_run_that_a_time_limit_cut_off_is_closed_by_the_next(self, traced: Receiver) -> None:
        for number in (1, 2):
            signals.asked(signals.run_begun, None, events=[event(f"00-{number:032x}-{1:016x}-01")], queue="events")
        signals.run_ended.send(None, answer=None, error=None)
        tracing.uninstall()
        assert [(s.trace, s.parent) for s in traced.spans] == [(f"{n:032x}", f"{1:016x}") for n in (1, 2)]

    def test_what_a_client_does_not_want_sampled_is_not(self, traced: Receiver) -> None:
        given = signals.asked(signals.event_created, None, type="a.b", traceparent=f"00-{1:032x}-{1:016x}-00")
        assert given is not None
        assert given.startswith(f"00-{1:032x}-")
        assert given.endswith("-00")
        tracing.uninstall()
        assert traced.spans == []


def test_without_the_setting_nobody_listens_and_nothing_is_imported() -> None:
    code = (
        "import sys; from service import bootstrap, signals; from service.settings import Settings\n"
        "bootstrap.trace(Settings(), 'worker')\n"
        "print([m for m in sys.modules if m.startswith('opentelemetry')], bool(signals.run_begun.receivers))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[] False"


def test_the_setting_without_the_extra_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(errors.SettingsError, match=r"MILLRACE_OTLP_URL.*pip install 'millrace\[otel\]'"):
        tracing.check(Settings(otlp_url="http://localhost:4318"))


def post(door: Door, type_name: str, payload: object, traceparent: str) -> str:
    """One post with a trace context; the event's id."""
    return str(send(door, f"/v1/events/{type_name}", json.dumps(payload), traceparent, "application/json")["id"])


def send(door: Door, path: str, body: str, traceparent: str, media_type: str) -> dict[str, Any]:
    """One request with a trace context; the document that is answered."""
    host, _, port = door.address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20 * PATIENCE)
    connection.request("POST", path, body, {"Content-Type": media_type, "traceparent": traceparent})
    response = connection.getresponse()
    document: dict[str, Any] = json.load(response)
    connection.close()
    assert response.status == 202, document
    return document


def the(receiver: Receiver, name: str, trace: str) -> Span:
    """The only span of this name in a trace, once it has come."""

    def found() -> list[Span]:
        return [span for span in receiver.named(name) if span.trace == trace]

    wait(found, 20, f"the span {name!r} of {trace} has come")
    assert len(found()) == 1 or name.startswith("POST"), found()
    return found()[0]


def event(traceparent: str) -> Event:
    """An event as a worker has it."""
    now = datetime.datetime.now(datetime.UTC)
    return Event(str(uuid.uuid4()), "a.b", {}, 1, now, traceparent=traceparent)
