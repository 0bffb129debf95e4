"""A connection that two processes share is broken at once, and is never shared here.

With TLS, both ends count what they send: when two processes send on one connection, the server sees a record that it
cannot check. Without TLS it is worse, for answers go to the wrong process. So the ledger of these tests speaks TLS.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import signal
from collections.abc import Callable

import psutil
import pytest
import sqlalchemy

from service.ledger import engine as engines
from service.local.postgres import PostgresServer
from tests.door import accepted
from tests.patience import PATIENCE, wait
from tests.road import Process, Road

CHILDREN = 3
QUERIES = 30  #: of each child
#: Seconds after which a child that waits for an answer, which another one has read, is ended.
LONGEST = round(20 * PATIENCE)
SSL_ERROR = re.compile(r"SSL|bad.record.mac|decryption failed", re.IGNORECASE)

GetEngine = Callable[[], sqlalchemy.Engine]


# --- what goes wrong, and what does not -----------------------------------------------------------------------------


def session(get: GetEngine) -> int:
    """The process id of the server's end of a connection."""
    with get().connect() as connection:
        found: int = connection.execute(sqlalchemy.text("select pg_backend_pid()")).scalar_one()
        return found


def ask(get: GetEngine, child: int) -> str:
    """Ask the ledger many things; what went wrong first, or the server's end of the connection."""
    gc.collect()  # What was inherited goes now, if nobody holds it.
    try:
        for number in range(QUERIES):
            question = f"{child}.{number}"
            with get().connect() as connection:
                answer = connection.execute(sqlalchemy.text("select :question"), {"question": question}).scalar_one()
            if answer != question:
                return f"asked for {question}, was told {answer}"
        return str(session(get))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def in_children(get: GetEngine) -> list[str]:
    """What becomes of it when several children that were forked use the engine at once."""
    gc.collect()  # What earlier tests have left behind shall not be ended by the children.
    go, start = os.pipe()
    ends = [_child(lambda child=child: ask(get, child), go) for child in range(CHILDREN)]
    os.write(start, b"!" * CHILDREN)
    os.close(go)
    os.close(start)
    return [_report(pid, end) for pid, end in ends]


def _child(action: Callable[[], str], go: int) -> tuple[int, int]:
    """Fork a process that waits for the others, acts and reports; its id, and the end of the pipe to read from."""
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        return pid, read
    # Whatever happens, this process must not come back into pytest.
    with contextlib.suppress(BaseException):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LONGEST)
        os.read(go, 1)
        os.write(write, action().encode())
    os._exit(0)


def _report(pid: int, end: int) -> str:
    with os.fdopen(end) as pipe:
        found = pipe.read()
    os.waitpid(pid, 0)
    return found or "no answer in time"


@pytest.fixture
def url(ledger_server: PostgresServer) -> str:
    return ledger_server.dsn_of("postgres")


def test_an_ordinary_engine_that_was_used_before_a_fork_is_broken_by_the_children(url: str) -> None:
    """The fault that the tests below look for can be seen here."""
    shared = sqlalchemy.create_engine(sqlalchemy.make_url(url).set(drivername="postgresql+psycopg2"))
    session(lambda: shared)
    found = in_children(lambda: shared)
    faults = [answer for answer in found if not answer.isdigit()]
    assert faults
    assert SSL_ERROR.search(" ".join(faults)), faults
    with pytest.raises(sqlalchemy.exc.OperationalError, match=SSL_ERROR):
        session(lambda: shared)


def test_ours_is_not(url: str) -> None:
    engine = engines.Engine(url)
    before = session(engine.get)
    found = in_children(engine.get)
    assert all(answer.isdigit() for answer in found), found
    # Each process has a connection of its own, and the parent still has the one it had.
    assert len({*found, str(before)}) == CHILDREN + 1
    assert session(engine.get) == before
    engine.dispose()


def test_a_child_that_is_told_of_its_fork_does_not_wait_for_a_lock_of_its_parent(url: str) -> None:
    engine = engines.Engine(url)

    def child() -> str:
        engine.after_fork()
        return ask(engine.get, 0)

    go, start = os.pipe()
    with engine._lock:
        pid, end = _child(child, go)
    os.write(start, b"!")
    os.close(go)
    os.close(start)
    assert _report(pid, end).isdigit()


# --- workers and doors ----------------------------------------------------------------------------------------------


class Watch:
    """Looks, while work goes on, at who has connections to the ledger's server."""

    def __init__(self, process: Process, server: PostgresServer) -> None:
        self._process = process
        self._port = server.port
        self.parent = 0  #: the most connections that were seen
        self.children = 0  #: the same, of a single child

    def look(self) -> None:
        self.parent = max(self.parent, self._connections(self._process.pid))
        self.children = max([self.children, *map(self._connections, self._process.children())])

    def _connections(self, pid: int) -> int:
        try:
            found = psutil.Process(pid).net_connections("tcp")
        except psutil.NoSuchProcess:
            return 0
        return sum(c.raddr.port == self._port for c in found if c.raddr)


class TestForks:
    """Many events with a ticket each, in every pool, and at a door with two processes."""

    EVENTS = 60

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: Callable[..., Road]) -> Road:
        return make_standing()

    def work(self, road: Road, worker: Process, server: PostgresServer) -> tuple[Watch, set[int]]:
        """Have many events worked; who had connections meanwhile, and the processes that worked."""
        tickets = road.store("ledger.alone", ["{}"] * self.EVENTS, bundle=1)
        ids = [i for ticket in tickets for i in ticket.event_ids]
        watch = Watch(worker, server)
        watch.look()
        road.publish(*tickets)

        def closed() -> bool:
            watch.look()
            return not road.states(ids)["pending"]

        wait(closed, 60, "all events are worked")
        road.assert_worked_once(ids)
        worker.stop()
        assert not SSL_ERROR.search(worker.text())
        pids = road.sql("select distinct pid from effects where event_id = any(%s::uuid[])", ids)
        return watch, {pid for (pid,) in pids}

    def test_prefork_children_come_and_go_and_their_parent_never_connects(
        self, road: Road, ledger_server: PostgresServer
    ) -> None:
        worker = road.worker("prefork", "--max-tasks-per-child=5")
        watch, workers = self.work(road, worker, ledger_server)
        assert len(workers) >= self.EVENTS // 5
        assert worker.pid not in workers
        assert watch.parent == 0
        assert 1 <= watch.children <= 2  # One more at the moment when it notes the worker.

    @pytest.mark.parametrize(("pool", "most"), [("threads", 4), ("solo", 1)])
    def test_pools_without_forks_keep_to_their_size(
        self, road: Road, ledger_server: PostgresServer, pool: str, most: int
    ) -> None:
        worker = road.worker(pool, concurrency=4)
        watch, workers = self.work(road, worker, ledger_server)
        assert workers == {worker.pid}
        assert 1 <= watch.parent <= most + 1  # For the moment of a note.

    def test_the_processes_of_a_door_share_no_connection(self, road: Road, ledger_server: PostgresServer) -> None:
        door = road.web(web_processes="2")
        watch = Watch(door.process, ledger_server)
        ids = accepted(door.post_all("ledger.alone", [{}] * self.EVENTS))
        watch.look()
        assert len(set(ids)) == self.EVENTS
        assert watch.parent == 0
        assert watch.children >= 1
        door.process.stop()
        assert not SSL_ERROR.search(door.process.text())
