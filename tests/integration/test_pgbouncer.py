"""The road through pgbouncer in transaction mode: each transaction on whatever connection is free."""

from __future__ import annotations

import pathlib
import threading

from service.ledger import migrate
from service.local.postgres import PostgresServer
from tests import pgbouncer
from tests.apps import ledger_app
from tests.door import accepted
from tests.road import Road

SESSIONS = (
    "select count(*) from pg_stat_activity where application_name like 'millrace-%' and datname = current_database()"
)


def test_the_road_works_through_pgbouncer_in_transaction_mode(
    postgres: PostgresServer, empty_database: str, vhost: str, tmp_path: pathlib.Path
) -> None:
    road = Road(empty_database, vhost, tmp_path)
    folder = tmp_path / "pgbouncer"
    folder.mkdir()
    with pgbouncer.before(empty_database, folder) as through:
        migrate.migrate(through)  # An upgrade goes the same way: its lock is a transaction's.
        road.sql(ledger_app.SCHEMA)
        road.declare()
        try:
            door = road.web(database_url=through)
            road.worker(database_url=through)
            road.clock(database_url=through)
            most = [0]
            over = threading.Event()

            def look() -> None:
                while not over.wait(0.05):
                    most[0] = max(most[0], road.one(SESSIONS))

            looking = threading.Thread(target=look)
            looking.start()
            payloads = [{"do": "add"}] * 190 + [{"do": "fail", "times": 1}] * 10
            ids = accepted(door.post_all("ledger.step", payloads))
            road.assert_worked_once(ids, 60)
            over.set()
            looking.join()
            # Web, worker and clock have more connections than that; all of them share these.
            assert 0 < most[0] <= pgbouncer.POOL
        finally:
            road.stop()
