"""A queue that confirms nothing keeps no other waiting: neither at the door nor at the clock."""

from __future__ import annotations

import time
import urllib.parse
import uuid
from collections import Counter
from collections.abc import Iterator

import pytest

from service.application import publish
from service.broker import connection as connections
from service.broker import publisher, silence
from service.broker import topology as broker_topology
from service.domain import errors, topology
from service.domain.ticket import Ticket
from tests.faults.proxy import Proxy
from tests.ledgers import Ledger, a_release, due_now
from tests.patience import PATIENCE

SILENT = "slow"
TIMEOUT = 1.0 * PATIENCE  #: seconds
RESTS = (0.4 * PATIENCE, 1.0 * PATIENCE)  #: seconds


class Swallowed(publisher.Publisher):
    """On a line that loses what the broker says of one queue, as that says nothing itself without its majority."""

    is_silent = True

    def _on_ack(self, tag: int, multiple: bool) -> None:
        for each in [t for t in self._open if t <= tag] if multiple else [tag]:
            if not (self.is_silent and self._open[each].queue == SILENT):
                super()._on_ack(each, False)


@pytest.fixture
def broker(vhost: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Swallowed]:
    monkeypatch.setattr(silence, "RESTS", RESTS)
    monkeypatch.setattr(silence, "TRIAL", TIMEOUT)
    monkeypatch.setattr(publish, "TIMEOUT", TIMEOUT)
    found = Swallowed(vhost, frozenset({SILENT, "other"}), heartbeat=10, name="test")
    yield found
    found.drop()


def a_ticket(queue: str) -> Ticket:
    exchange, key = topology.event_route("a.a", queue)
    return Ticket(str(uuid.uuid4()), "a.a", (str(uuid.uuid4()),), exchange, key, queue)


def send(broker: publisher.Publisher, *queues: str) -> Counter[str]:
    """Publish a ticket for each; which were confirmed."""
    batch = {ticket.id: ticket for ticket in map(a_ticket, queues)}
    return Counter(batch[i].queue for i in broker.publish(list(batch.values()), TIMEOUT))


@pytest.mark.rabbitmq
class TestPublisher:
    def test_what_was_confirmed_counts(self, broker: Swallowed) -> None:
        assert send(broker, SILENT, "events", SILENT, "other") == {"events": 1, "other": 1}

    @pytest.mark.heavy
    def test_who_is_silent_while_others_answer_rests_for_longer_each_time(
        self, broker: Swallowed, caplog: pytest.LogCaptureFixture
    ) -> None:
        usual, stalls = 0, 0

        def rests() -> list[float]:
            return [record.args[1] for record in caplog.records if "left alone" in record.msg]  # type: ignore[index,misc]

        while len(rests()) < 3:
            begin = time.monotonic()
            assert send(broker, SILENT, "events") == {"events": 1}
            stalls += time.monotonic() - begin > TIMEOUT
            usual += 1
        assert rests() == [RESTS[0], 2 * RESTS[0], RESTS[1]]
        assert stalls == 4, "once with the others, which showed that it is silent, and once before each rest"
        assert usual > 30, "the others waited with it"

        broker.is_silent = False
        while broker.resting():
            send(broker, SILENT, "events")
        assert send(broker, SILENT, SILENT, "events") == {SILENT: 2, "events": 1}

    def test_nobody_rests_while_nobody_answers(self, broker: Swallowed) -> None:
        for _ in range(3):  # It may be the broker: there is nobody else who could tell.
            with pytest.raises(errors.BrokerUnavailable, match="1 tickets were not confirmed"):
                send(broker, SILENT)
            assert not broker.resting()
        broker.is_silent = False
        assert send(broker, SILENT, "events") == {SILENT: 1, "events": 1}


@pytest.mark.postgres
@pytest.mark.rabbitmq
class TestRoad:
    @pytest.fixture
    def ledger(self, database: str) -> Ledger:
        ledger = Ledger(database)
        ledger.handler("a.a", print, bundle=1)
        ledger.handler("a.slow", print, bundle=1, queue=SILENT)
        return ledger

    def out(self, ledger: Ledger) -> dict[str, int]:
        rows = ledger.sql("select type, count(*) from millrace.tickets where published_at is not null group by type")
        return dict(rows)

    def test_a_clock_publishes_the_others_and_what_was_silent_when_it_answers(
        self, ledger: Ledger, broker: Swallowed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(publish, "LEAD", 1.0)
        ledger.post("a.slow", *range(50))
        ledger.post("a.a", *range(800))
        due_now(ledger)
        release = publish.Release(a_release(ledger), broker)
        begin = time.monotonic()
        while self.out(ledger) != {"a.a": 800}:
            release.run_once()
        assert time.monotonic() - begin < 4 * TIMEOUT + 2.0 * PATIENCE
        broker.is_silent = False
        ledger.until(lambda: not release.run_once() and self.out(ledger) == {"a.a": 800, "a.slow": 50}, 10.0)

    def test_a_door_publishes_the_others(self, ledger: Ledger, broker: Swallowed) -> None:
        ledger.publisher._connect = lambda: broker

        def it_rests() -> bool:
            ledger.post("a.slow", 1)
            ledger.post("a.a", 1)
            return bool(broker.resting())

        ledger.until(it_rests, 10.0)
        ledger.post("a.slow", *range(20))
        ids = ledger.post("a.a", *range(20))
        published = "select count(*) from millrace.tickets where published_at is not null and event_ids && %s::uuid[]"
        ledger.until(lambda: ledger.sql(published, ids) == [(20,)], publish.MARK_AFTER + 2.0)
        assert self.out(ledger).keys() == {"a.a"}


@pytest.mark.rabbitmq
class TestBeginning:
    """A line to the broker that is there, and on which nothing comes back any more."""

    @pytest.fixture
    def line(self, vhost: str) -> Iterator[Proxy]:
        line = Proxy(urllib.parse.urlsplit(vhost).port or 5672).start()
        yield line
        line.stop()

    def test_a_declaration_without_an_answer_is_not_waited_for(
        self, vhost: str, line: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connections, "ANSWER", TIMEOUT)
        connection = connections.connect(line.instead_of(vhost), heartbeat=60, name="test")
        begin = time.monotonic()
        with line.weather_of(lost=True), pytest.raises(TimeoutError):
            broker_topology.ensure(connection, frozenset())
        connection.collect()
        assert time.monotonic() - begin < 3 * TIMEOUT

    def test_who_had_no_answer_does_without_in_the_next_connection(
        self, vhost: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broker = publisher.Publisher(vhost, frozenset(), heartbeat=60, name="test")
        broker.tick()
        broker.drop()
        declared = []

        def silent(*_: object) -> None:
            declared.append(1)
            raise connections.NoAnswer

        monkeypatch.setattr(broker_topology, "ensure", silent)
        broker = publisher.Publisher(vhost, frozenset(), heartbeat=60, name="test")
        dead = broker_topology.DeadQueue(vhost, frozenset(), heartbeat=60)
        for begin in (broker.tick, dead.get):
            with pytest.raises(errors.BrokerUnavailable):
                begin()
            begin()
        assert len(declared) == 2
        assert broker.publish([a_ticket(topology.EVENTS_QUEUE)], publish.TIMEOUT)
        broker.drop()
        dead.drop()

    def test_a_queue_that_does_not_tell_its_state_rests(
        self, vhost: str, line: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connections, "ANSWER", TIMEOUT)
        monkeypatch.setattr(silence, "RESTS", RESTS)
        monkeypatch.setattr(silence, "TRIAL", TIMEOUT / 2)
        broker = publisher.Publisher(line.instead_of(vhost), frozenset({SILENT}), heartbeat=60, name="test")
        ticket = a_ticket(topology.EVENTS_QUEUE)
        assert broker.publish([ticket], publish.TIMEOUT) == {ticket.id}
        for seconds in (TIMEOUT, TIMEOUT / 2):
            begin = time.monotonic()
            with line.weather_of(lost=True):
                assert broker.ready(SILENT) == 1
            assert seconds <= time.monotonic() - begin < seconds + TIMEOUT
            assert broker.publish([ticket], publish.TIMEOUT) == {ticket.id}, "others have answered"
        assert broker.resting() == {SILENT}
        broker.drop()

    def test_a_clock_does_not_wait_for_the_state_of_a_queue(
        self, vhost: str, line: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connections, "ANSWER", TIMEOUT)
        broker = publisher.Publisher(line.instead_of(vhost), frozenset(), heartbeat=60, name="test")
        broker.tick()
        dead = broker_topology.DeadQueue(line.instead_of(vhost), frozenset(), heartbeat=60)
        assert dead.get() is None
        begin = time.monotonic()
        with line.weather_of(lost=True):
            assert broker.ready(topology.EVENTS_QUEUE) == 1, "it may hold what waits"
            with pytest.raises(errors.BrokerUnavailable):
                dead.get()
        assert time.monotonic() - begin < 4 * TIMEOUT
        assert broker.ready(topology.EVENTS_QUEUE) == 0
        broker.drop()
        dead.drop()
