"""PostgreSQL is there and will not: restarted, read-only, full, in conflict. No event is to blame."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
from collections.abc import Callable, Iterator

import psycopg2
import pytest

from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests import servers
from tests.door import Door
from tests.faults.checker import Trial
from tests.faults.disks import fill, needs_root, small_disk
from tests.faults.workload import Workload
from tests.patience import wait
from tests.road import Process, Road

pytestmark = pytest.mark.heavy

CONNECTIONS = "40"  #: few, so that they are soon used up
OURS = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'millrace%'"
OTHERS = """
select pg_terminate_backend(pid) from pg_stat_activity
where backend_type = 'client backend' and pid <> pg_backend_pid() and pid <> all(%s::int[])
"""
DISK = 32  #: megabytes of a ledger on a disk of its own: with an empty ledger half of it is free

Outage = Callable[[PostgresServer], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def read_only(server: PostgresServer) -> Iterator[None]:
    """As a server that was demoted. The next transaction of every session feels it."""
    server.execute("alter system set default_transaction_read_only = on")
    server.execute("select pg_reload_conf()")
    try:
        yield
    finally:
        server.execute("alter system reset default_transaction_read_only")
        server.execute("select pg_reload_conf()")


@contextlib.contextmanager
def used_up(server: PostgresServer) -> Iterator[None]:
    """Somebody else has every connection; ours are ended, and not to be had again."""
    with contextlib.ExitStack() as held:
        theirs: list[int] = []

        def take_all() -> None:
            with contextlib.suppress(psycopg2.OperationalError):
                while True:
                    one = held.enter_context(contextlib.closing(psycopg2.connect(server.dsn_of("postgres"))))
                    theirs.append(one.info.backend_pid)

        # It is held to the end: whoever is quick would have the place that it leaves.
        own = held.enter_context(contextlib.closing(psycopg2.connect(server.dsn_of("postgres"))))
        own.autocommit = True

        def end_others() -> bool:
            own.cursor().execute(OTHERS, (theirs,))
            take_all()
            return 1 + len(theirs) == int(CONNECTIONS)

        wait(end_others, 20, "nobody else is connected")
        yield


class TestTrouble:
    """One web process, one worker, one clock; none is started again, and no attempt is used up."""

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
        servers.need_postgres()
        options = servers.FAST | {"max_connections": CONNECTIONS}
        server = PostgresServer(tmp_path_factory.mktemp("postgres"), options=options).start()
        yield server
        server.stop()

    @pytest.fixture(scope="class")
    @classmethod
    def road(
        cls, server: PostgresServer, broker_node: RabbitNode, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Road]:
        road = Road(server.dsn, broker_node.url, tmp_path_factory.mktemp("road"), soft_limit="40", hard_limit="50")
        road.prepare()
        road.clock()
        yield road
        road.stop()

    @pytest.fixture(scope="class")
    @classmethod
    def worker(cls, road: Road) -> Process:
        return road.worker()

    @pytest.fixture(scope="class")
    @classmethod
    def door(cls, road: Road, worker: Process) -> Door:
        return road.web()

    @pytest.fixture(autouse=True)
    def nobody_was_blamed(self, road: Road, door: Door) -> Iterator[None]:
        families = [p.family() for p in road.processes[:3]]
        yield
        assert [p.family() for p in road.processes[:3]] == families
        assert road.sql("select error, message from millrace.attempts limit 1") == []
        assert road.sql("select reason from millrace.dead limit 1") == []

    @pytest.mark.fault(15)
    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
    def test_it_is_restarted_under_load(
        self, road: Road, door: Door, server: PostgresServer, trial: Trial, how: signal.Signals
    ) -> None:
        with trial(road, door) as load:
            for _ in range(2):
                assert server.pid is not None
                os.kill(server.pid, how)
                wait(lambda: server.pid is None, 20, "it has stopped")
                load.wait_for(20)
                assert load.refused() or load.unknown(), "it was not away"
                server.start()
                load.wait_for_accepted(40)

    @pytest.mark.fault(17)
    def test_it_turns_read_only(self, road: Road, door: Door, server: PostgresServer, trial: Trial) -> None:
        with trial(road, door) as load, read_only(server):
            wait_until_refused(load)

    @pytest.mark.fault(18)
    def test_it_has_no_connection_left(self, road: Road, door: Door, server: PostgresServer, trial: Trial) -> None:
        with trial(road, door) as load, used_up(server):
            wait_until_refused(load)

    @pytest.mark.fault(19)
    def test_two_handlers_lock_what_the_other_wants(self, road: Road, door: Door, worker: Process) -> None:
        """One of the two is ended by the server, and tried again where it is."""
        road.sql("insert into account (id, balance) values (1001, 0), (1002, 0)")
        deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
        before = road.one(deadlocks)
        ids = [
            door.post("ledger.alone", do="cross", accounts=accounts).id
            for accounts in ((1001, 1002), (1002, 1001))
            for _ in range(4)
        ]
        road.assert_worked_once(ids)
        wait(lambda: road.one(deadlocks) > before, 10, "there was a deadlock")

    @pytest.mark.fault(19)
    def test_every_transaction_is_serializable(
        self, road: Road, door: Door, worker: Process, server: PostgresServer, trial: Trial
    ) -> None:
        """The strictest that an administrator can ask for; two workers who write the same row cannot both commit."""
        said = worker.text().count("could not serialize access")
        with trial(road, door):
            server.execute("alter database millrace set default_transaction_isolation = 'serializable'")
            try:
                server.execute(OURS)
                wait(lambda: worker.text().count("could not serialize access") > said, 20, "there is a conflict")
            finally:
                server.execute("alter database millrace reset default_transaction_isolation")
                server.execute(OURS)


@pytest.mark.fault(21)
@needs_root
def test_its_disk_is_full(
    ledger_server: PostgresServer, broker_node: RabbitNode, tmp_path: pathlib.Path, trial: Trial
) -> None:
    """The ledger's tables are on a disk of their own, which somebody fills to the last byte."""
    with small_disk(tmp_path / "disk", DISK) as disk:
        (disk / "tables").mkdir(mode=0o700)
        ledger_server.cluster.way.hand_over(disk / "tables")
        ledger_server.execute(f"create tablespace small location '{disk / 'tables'}'")
        ledger_server.execute("create database crowded tablespace small")
        road = Road(ledger_server.dsn_of("crowded"), broker_node.url, tmp_path, fault_patience="2").prepare()
        try:
            worker, _, door = road.worker(), road.clock(), road.web()
            with trial(road, door) as load:
                ballast = fill(disk)
                wait_until_refused(load)
                ballast.unlink()
            assert road.sql("select error from millrace.attempts limit 1") == []
            assert road.sql("select reason from millrace.dead limit 1") == []
            assert worker.code is None
        finally:
            road.stop()
            ledger_server.execute("drop database crowded with (force)")
            ledger_server.execute("drop tablespace small")


def wait_until_refused(load: Workload) -> None:
    """Wait until the door refuses, and refuses still some posts later: it is no hiccup."""
    wait(lambda: len(load.refused()) + len(load.unknown()) > 4, 60, "posts are refused")
    load.wait_for(8)
