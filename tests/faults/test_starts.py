"""Web, workers and clocks start before their servers, say what they wait for, and go on by themselves."""

from __future__ import annotations

import os
import pathlib
import signal
import time
from collections.abc import Iterator

import pytest

from service.ledger import migrate
from service.local.postgres import PostgresServer
from service.local.rabbitmq import RabbitNode
from tests import servers
from tests.apps import ledger_app
from tests.door import accepted
from tests.patience import wait
from tests.processes import is_gone
from tests.road import Road

NOBODY = "postgresql://nobody@127.0.0.1:1/nowhere"  #: a ledger that is not there
NOWHERE = "amqp://nobody@127.0.0.1:1/"  #: a broker that is not there
SOON = 20.0  #: seconds in which a process says what it waits for


@pytest.fixture
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A server with a ledger, which is not started yet."""
    servers.need_postgres()
    server = PostgresServer(tmp_path_factory.mktemp("postgres"), options=servers.FAST).start()
    migrate.migrate(server.dsn)
    server.execute(ledger_app.SCHEMA, "millrace")
    server.stop()
    yield server
    server.stop()


@pytest.mark.fault(61)
def test_processes_wait_for_their_servers_and_go_on(
    stopped: PostgresServer, broker_node: RabbitNode, tmp_path: pathlib.Path
) -> None:
    """Servers and processes are started in any order. Here a virtual host is what the broker lacks."""
    road = Road(stopped.dsn, broker_node.url_of("later"), tmp_path)
    try:
        worker, clock, door = road.worker("solo", ready=False), road.clock(), road.web()
        for process in (worker, clock, door.process):
            process.wait_for_text("MILLRACE_DATABASE_URL right?); waiting for it")
        for process in (worker, clock):
            process.wait_for_text("vhost later not found")
        refused = door.post("ledger.step")
        assert (refused.status, refused.document["stored"]) == (503, "no")

        stopped.start()
        broker_node.add_vhost("later")
        wait(lambda: door.get("/readyz").status == 200, SOON, "the door is ready")
        road.assert_worked_once(accepted([door.post("ledger.step")]), SOON)
        assert worker.text().count("vhost later not found") < 2 * SOON  # It does not try without a pause.
    finally:
        road.stop()
    for process in (worker, clock, door.process):
        assert "Traceback" not in process.text(), process.tail()
        assert process.code == 0, process.tail()


def test_a_door_that_is_told_to_stop_many_times_stops_at_once(tmp_path: pathlib.Path) -> None:
    """Service managers and people in a hurry say it twice, and at bad moments."""
    door = Road(NOBODY, NOWHERE, tmp_path).web()
    for _ in range(200):
        os.kill(door.process.pid, signal.SIGTERM)
        time.sleep(0.0002)  # One signal at a time, or they become one.
    assert door.process.wait_for_end(8) == 0


def test_a_door_whose_parent_was_killed_can_be_started_again(tmp_path: pathlib.Path) -> None:
    """Nobody is left behind who holds the port."""
    door = Road(NOBODY, NOWHERE, tmp_path).web(web_processes="2")
    family = door.process.family()
    os.kill(door.process.pid, signal.SIGKILL)
    door.process.wait_for_end()
    wait(lambda: all(map(is_gone, family)), 10, "the children have ended")
    door.process.restart()
    door.wait_until_open()
    door.process.stop()
