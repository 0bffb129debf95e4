"""The whole road in a test: web, workers and clocks as real processes on real servers, looked at from outside."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pathlib
import signal
import socket
import threading
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import amqp
import psycopg2

from service.application.accept import Intake
from service.application.publish import Publisher
from service.broker import connection as connections
from service.broker import publisher as publishers
from service.domain import event, handlers, topology
from service.domain.ticket import Ticket
from service.ledger import balance, migrate
from service.ledger import engine as engines
from service.ledger.intake import IntakeLedger
from service.local import ports
from tests import processes
from tests.apps import ledger_app
from tests.door import DEADLINE, Answer, Door
from tests.patience import PATIENCE, wait
from tests.processes import Process

#: Settings that make what takes minutes in production take seconds here.
QUICK = {
    "MILLRACE_APPS": "tests.apps.ledger_app",
    "MILLRACE_SOFT_LIMIT": "20",  # A machine that stands still for a moment shall end no good work.
    "MILLRACE_HARD_LIMIT": "30",
    "MILLRACE_BROKER_HEARTBEAT": str(round(2 * PATIENCE)),
    "MILLRACE_HEAD_START": "0.5",
    "MILLRACE_ACCEPT_DEADLINE": str(DEADLINE),
    "MILLRACE_LOG_FORMAT": "text",
    "MILLRACE_ALLOW_ROOT": "1",  # Whoever runs the tests.
}
CONNECT = round(10 * PATIENCE)  #: seconds for a connection of the test's own to its servers
NEVER = 3600.0  #: seconds of head start after which no test runs any more: the clock leaves the ticket alone


class Road:
    """One ledger, one broker, and the processes between them."""

    def __init__(
        self, database: str, broker: str, folder: pathlib.Path, *, code: pathlib.Path = processes.ROOT, **settings: str
    ) -> None:
        self.code = code  # What the processes run: this checkout, or another one.
        self.database = database
        self.broker = broker
        self.folder = folder
        self.settings = QUICK | {f"MILLRACE_{name.upper()}": value for name, value in settings.items()}
        self.engine = engines.Engine(database, role="test")
        self.processes: list[Process] = []
        #: Words before those of a process that is started: a module that becomes it, such as tests.faults.apart.
        self.before: tuple[str, ...] = ()
        self._numbers = itertools.count(1)

    def prepare(self) -> Road:
        """A ledger with its schema and the app's tables, and empty queues."""
        migrate.migrate(self.database)
        self.sql(ledger_app.SCHEMA)
        self.declare()
        for queue in ("events", "periodic", "dead"):
            self.channel(lambda channel, q=queue: channel.queue_purge(q))
        return self

    # --- processes ----------------------------------------------------------------------------------------------

    def environment(self, **settings: str) -> dict[str, str]:
        """What a process of this road finds in its environment."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MILLRACE_")}
        more = {f"MILLRACE_{name.upper()}": value for name, value in settings.items()}
        python = os.pathsep.join(filter(None, [str(self.code), os.environ.get("PYTHONPATH")]))
        servers = {"MILLRACE_DATABASE_URL": self.database, "MILLRACE_BROKER_URL": self.broker}
        metrics = {"MILLRACE_METRICS_PORT": str(ports.free())}
        return kept | self.settings | servers | metrics | {"PYTHONPATH": python} | more

    def run(self, kind: str, *words: str, **settings: str) -> Process:
        """Start any process; see the three below."""
        found = Process(
            f"{kind}-{next(self._numbers)}", [*self.before, *words], self.environment(**settings), self.folder
        )
        self.processes.append(found)
        return found

    def web(self, **settings: str) -> Door:
        """A web process that answers."""
        address = f"127.0.0.1:{ports.free()}"
        door = Door(self.run("web", "service", "web", **{"http": address, **settings}), address)
        door.wait_until_open()
        return door

    def worker(
        self, pool: str = "prefork", *options: str, concurrency: int = 2, queues: str = "events,periodic",
        ready: bool = True, **settings: str,
    ) -> Process:  # fmt: skip
        """A worker; ``ready`` waits until it takes tickets."""
        name = f"w{next(self._numbers)}@%h"
        words = ["celery", "-A", "workers", "worker", "-Q", queues, "-c", str(concurrency), "-P", pool, "-n", name]
        words += ["--without-mingle", "--without-gossip"]  # Saves two seconds for each start.
        found = self.run("worker", *words, *options, **settings)
        if ready:
            found.wait_for_text(f"{name.partition('@')[0]}@{socket.gethostname()} ready.", 40)
        return found

    def clock(self, **settings: str) -> Process:
        """A clock. Nobody need wait for it: whatever it does is waited for."""
        name = f"clock{next(self._numbers)}"
        return self.run("clock", "celery", "-A", "schedules", "beat", "--pidfile", f"{name}.pid", **settings)

    def arm(self, point: str) -> Armed:
        """A crash point, to be given to a process as ``crash_at``."""
        path = self.folder / f"armed-{uuid.uuid4()}"
        path.touch()
        return Armed(point, path)

    def stop(self) -> None:
        """End every process that was started here."""
        running = [p for p in self.processes if p.code is None]
        for process in running:
            process.thaw()
            process.ask_to_stop()
        for process in running:
            process.stop()
        self.engine.dispose()

    def logs(self) -> str:
        """The ends of all logs, for a failed test."""
        return "\n".join(f"--- {p.name}: {' '.join(p.words)} → {p.code}\n{p.tail()}" for p in self.processes)

    # --- the ledger ---------------------------------------------------------------------------------------------

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """One statement, committed; its rows."""
        with contextlib.closing(psycopg2.connect(self.database, connect_timeout=CONNECT)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []

    def one(self, statement: str, *values: Any) -> Any:
        """The only value of a statement."""
        return self.sql(statement, *values)[0][0]

    @contextlib.contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Nobody can write into this table."""
        with contextlib.closing(psycopg2.connect(self.database)) as connection, connection.cursor() as cursor:
            cursor.execute(f"lock table {table} in share mode")
            yield

    def ids(self, type_name: str | None = None) -> list[str]:
        """All events in the ledger, of a type if one is given, as they came."""
        where = "where type = %s" if type_name else "where %s is null"
        return [row[0] for row in self.sql(f"select id::text from millrace.events {where} order by id", type_name)]

    def states(self, ids: Iterable[str]) -> Counter[str]:
        """How many of these events are in which state."""
        asked = list(ids)
        rows = self.sql("select state, count(*) from millrace.events where id = any(%s::uuid[]) group by 1", asked)
        return Counter(dict(rows))

    def effects(self, ids: Iterable[str]) -> Counter[str]:
        """How many effects each of these events has."""
        asked = list(ids)
        rows = self.sql(
            "select event_id::text, count(*) from effects where event_id = any(%s::uuid[]) group by 1", asked
        )
        return Counter(dict(rows))

    def wait_until_closed(self, ids: Iterable[str], seconds: float = 30.0) -> None:
        """Wait until none of these events is open."""
        asked = list(ids)
        wait(
            lambda: not {"pending", "running"} & set(self.states(asked)),
            seconds,
            f"none of {len(asked)} events is open",
            step=0.1,
        )

    def assert_worked_once(self, ids: Iterable[str], seconds: float = 30.0) -> None:
        """P1 and P2: each of these events succeeds in time, with one effect; and the books agree."""
        asked = list(ids)
        assert asked, "no events: this would prove nothing"
        self.wait_until_closed(asked, seconds)
        assert self.states(asked) == {"succeeded": len(asked)}
        assert self.effects(asked) == Counter(asked)
        self.assert_books()

    def assert_books(self) -> None:
        """The balance is the number of effects, no open event is without a ticket (P8), the tallies agree."""
        effects, total = self.sql("select (select count(*) from effects), (select sum(balance) from account)")[0]
        assert total == effects, "an effect was half undone"
        self.engine.dispose()  # Its connection may have been ended together with those of the processes.
        found = balance.count(self.engine)
        assert found.without_ticket == 0, f"{found.without_ticket} open events without a ticket"
        assert found.tallied == found.open, f"{found.tallied} open by the tallies, {found.open} in the table"
        assert found.unpartitioned == 0

    def pause(self, *types: str) -> None:
        """Have the clock hold these types back, so that a test may look at their tickets."""
        for name in types:
            self.sql(
                "insert into millrace.types (name, paused_at) values (%s, now())"
                " on conflict (name) do update set paused_at = now()",
                name,
            )

    def go_on(self) -> None:
        """End every pause."""
        self.sql("update millrace.types set paused_at = null")

    # --- tickets and the broker ---------------------------------------------------------------------------------

    def store(
        self, type_name: str, payloads: Sequence[str], *, bundle: int = 50, head_start: float = NEVER
    ) -> list[Ticket]:
        """Accept events in one flush and keep their tickets back, as if the publisher had just died."""
        caught = _Caught()
        registry = handlers.Registry()
        registry.add(handlers.Handler(type_name, print, bundle=bundle))
        ledger = IntakeLedger(engines.Engine(self.database, role="test-intake"), patience=300, window=20_000)
        intake = Intake(ledger, caught, registry, deadline=CONNECT, head_start=head_start)
        accepted = intake.submit([event.NewEvent(type=type_name, payload=p) for p in payloads])
        assert caught.handed_over.wait(CONNECT)
        ledger_ids = [i for ticket in caught.tickets for i in ticket.event_ids]
        assert ledger_ids == [a.id for a in accepted]
        ledger.drop()  # A class of tests stores often, and a server has not that many connections.
        return caught.tickets

    def publish(self, *tickets: Ticket) -> None:
        """Hand tickets to the broker, each as often as it is named, and have them confirmed."""
        for ticket in tickets:
            broker = publishers.Publisher(self.broker, frozenset(), heartbeat=10, name="test")
            assert broker.publish([ticket], CONNECT) == {ticket.id}
            broker.drop()

    def send(self, body: str | bytes, exchange: str, headers: dict[str, Any], **properties: Any) -> None:
        """Put any message on the broker, as whoever reaches it can, and have it confirmed."""
        message = amqp.Message(body, application_headers=headers, **properties)

        def publish(channel: Any) -> None:
            channel.confirm_select()
            channel.basic_publish_confirm(message, exchange, "event.foreign")

        self.channel(publish)

    def tickets(self, ids: Iterable[str]) -> list[dict[str, Any]]:
        """The rows of the tickets that cover these events."""
        columns = ("id", "due_at", "published_at", "publishes", "returns", "revision", "careful")
        rows = self.sql(
            f"select {', '.join(columns)}, event_ids::text[] from millrace.tickets where event_ids && %s::uuid[]"
            " order by id",
            list(ids),
        )
        return [dict(zip((*columns, "event_ids"), row, strict=True)) for row in rows]

    def transactions(self, ids: Iterable[str]) -> list[int]:
        """How many effects of these events were written in each of the transactions that wrote them."""
        rows = self.sql("select count(*) from effects where event_id = any(%s::uuid[]) group by xmin", list(ids))
        return [n for (n,) in rows]

    def declare(self, *queues: str) -> None:
        """Declare the topology, with queues that handlers name."""
        broker = publishers.Publisher(self.broker, frozenset(queues), heartbeat=10, name="test")
        broker.tick()
        broker.drop()

    def channel(self, action: Any) -> Any:
        """Do something on a channel of its own."""
        connection = connections.connect(self.broker, heartbeat=10, name="test")
        try:
            return action(connection.channel())
        finally:
            connection.collect()

    def ready(self, queue: str = topology.EVENTS_QUEUE) -> int:
        """How many messages wait in a queue."""
        return int(self.channel(lambda c: c.queue_declare(queue, passive=True).message_count))

    def consumers(self, queue: str = topology.EVENTS_QUEUE) -> int:
        """How many consumers a queue has: one of each worker that takes from it, or two (workers/prefetch.py)."""
        return int(self.channel(lambda c: c.queue_declare(queue, passive=True).consumer_count))

    def wait_for_consumers(self, number: int, seconds: float = 40.0, *, queue: str = topology.EVENTS_QUEUE) -> None:
        """Wait until so many workers take tickets."""

        def there() -> bool:
            try:
                return self.consumers(queue) >= number
            except (OSError, amqp.AMQPError):
                return False

        wait(there, seconds, f"{number} workers take tickets", step=0.2)


class Gate:
    """A place in mid-handler where an event waits: its effect is written, and nothing is committed."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder / f"gate-{uuid.uuid4()}"
        self.folder.mkdir()
        self.payload = json.dumps({"do": "gate", "gate": str(self.folder)})

    def wait(self, seconds: float = 20.0) -> tuple[int, int]:
        """Wait until an event stands there; the ids of its process and of its session in PostgreSQL."""
        started = self.folder / "started"
        wait(started.exists, seconds, "a handler stands at the gate")
        process, session = started.read_text().split()
        return int(process), int(session)

    def open(self, *, fail: bool = False) -> None:
        """Let it go on; ``fail`` makes it raise an error."""
        if fail:
            (self.folder / "fail").touch()
        (self.folder / "go").touch()


class Armed:
    """A crash point that one process shall die or freeze at. Its file goes when a process does so."""

    def __init__(self, point: str, path: pathlib.Path) -> None:
        self.setting = f"{point}@{path}"
        self._path = path
        self._family: list[int] = []

    def at(self, process: Process) -> None:
        """This process, or one that it has forked, is to die."""
        assert self._path.exists(), "it died before the test began"
        self._family = process.family()

    def wait(self, seconds: float = 20.0) -> None:
        """Wait until a process is there."""
        wait(lambda: not self._path.exists(), seconds, f"a process comes to {self.setting}")

    def wait_for_death(self, process: Process, seconds: float = 20.0) -> None:
        """Wait until it has died by SIGKILL, and start it again if nothing else does."""
        self.wait(seconds)
        wait(lambda: any(processes.is_gone(pid) for pid in self._family), 10, "the process is gone")
        if processes.is_gone(process.pid):
            assert process.wait_for_end() == -signal.SIGKILL
            process.restart()


class _Caught(Publisher):
    """A publisher that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__(lambda: (_ for _ in ()).throw(AssertionError("nothing shall connect")))
        self.tickets: list[Ticket] = []
        self.handed_over = threading.Event()

    def put(self, batch: Sequence[Ticket]) -> None:
        self.tickets.extend(batch)
        self.handed_over.set()


__all__ = ["NEVER", "Answer", "Door", "Process", "Road"]
