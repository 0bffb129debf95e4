"""The ledger moves to another server: a standby that takes over, a backup that is older than the broker (P1, P2)."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from service.local import ports, spawn
from service.local.cluster import USER
from service.local.postgres import DATABASE, PostgresServer
from service.local.rabbitmq import RabbitNode
from tests import servers
from tests.faults.checker import Trial
from tests.patience import wait
from tests.road import Road

pytestmark = pytest.mark.heavy


@pytest.fixture
def primary(tmp_path: pathlib.Path) -> Iterator[PostgresServer]:
    servers.need_postgres()
    server = PostgresServer(tmp_path / "primary", options=servers.FAST).start()
    yield server
    server.stop()


@pytest.fixture
def standby(primary: PostgresServer, tmp_path: pathlib.Path) -> Iterator[PostgresServer]:
    """A synchronous one: no commit is told before it is on both."""
    home = spawn.private_folder(tmp_path / "standby")
    shutil.copy(primary.home / "password", home / "password")
    run(primary, "pg_basebackup", "-R", "-X", "stream", "-c", "fast", "-D", str(home / "data"))
    standby = PostgresServer(home, options=servers.FAST)
    standby.cluster.way.hand_over(home)
    standby.launch()
    primary.execute("alter system set synchronous_standby_names = '*'")
    primary.execute("select pg_reload_conf()")
    synchronous = "select sync_state from pg_stat_replication"
    wait(lambda: primary.execute(synchronous) == [("sync",)], 30, "the standby follows")
    yield standby
    standby.stop()


@pytest.mark.fault(16)
def test_a_standby_takes_over_under_load(
    primary: PostgresServer, standby: PostgresServer, broker_node: RabbitNode, tmp_path: pathlib.Path, trial: Trial
) -> None:
    """Every process knows both addresses and takes the one that can be written to; nobody tells it anything."""
    hosts = ",".join([ports.LOOPBACK] * 2)
    both = f"host={hosts}&port={primary.port},{standby.port}&target_session_attrs=read-write"
    road = Road(f"postgresql://{USER}:{primary.cluster.password}@/{DATABASE}?{both}", broker_node.url, tmp_path)
    try:
        road.prepare()
        road.worker()
        road.clock()
        door = road.web()
        serving = list(road.processes)
        families = [p.family() for p in serving]
        with trial(road, door) as load:
            primary.kill()
            load.wait_for(40)
            assert load.refused() or load.unknown(), "the ledger was not away"
            standby.execute("select pg_promote()")
        assert [p.family() for p in serving] == families
    finally:
        road.stop()


@pytest.mark.fault(62)
def test_a_backup_that_is_older_than_what_the_broker_has_is_gone_on_from(
    primary: PostgresServer, broker_node: RabbitNode, tmp_path: pathlib.Path
) -> None:
    """What the backup holds is worked once, by its own account; what it does not know is nothing to any worker."""
    road = Road(primary.dsn, broker_node.url, tmp_path).prepare()
    try:
        clock = road.clock()
        door, worker = road.web(), road.worker()
        done = [door.post("ledger.step").id for _ in range(20)]
        road.assert_worked_once(done)
        worker.stop()
        kept = [door.post("ledger.step").id for _ in range(20)]
        wait(lambda: all(t["published_at"] for t in road.tickets(kept)), 10, "all are out")

        run(primary, "pg_dump", "-Fc", "-f", str(tmp_path / "backup"), DATABASE)

        worker.restart()
        road.assert_worked_once(kept)  # On the ledger that will be lost.
        worker.stop()
        unknown = [door.post("ledger.step").id for _ in range(20)]
        wait(lambda: all(t["published_at"] for t in road.tickets(unknown)), 10, "all are out")
        door.process.stop()
        clock.stop()

        primary.execute(f"drop database {DATABASE} with (force)")
        run(primary, "pg_restore", "--create", "-d", "postgres", str(tmp_path / "backup"))
        assert road.states(kept) == {"pending": 20}
        worker = road.worker()
        road.clock()
        assert road.run("rebuild", "service", "rebuild").wait_for_end() == 0
        road.assert_worked_once([*done, *kept])
        wait(lambda: road.ready() == 0, 10, "what the ledger does not know is taken from the queue")
        assert road.effects(unknown) == {}
        assert road.one("select count(*) from millrace.strays") == 0
        assert worker.code is None
    finally:
        road.stop()


def run(server: PostgresServer, program: str, *words: str) -> None:
    """One of PostgreSQL's programs, as our user."""
    address = {"PGHOST": ports.LOOPBACK, "PGPORT": str(server.port), "PGUSER": USER}
    subprocess.run(
        [*server.cluster.command(program), *words],
        env=spawn.ENVIRONMENT | address | {"PGPASSWORD": server.cluster.password},
        cwd=server.home.parent,
        check=True,
    )
