"""docs/backup.md, followed word by word: the dump, the restore, and a broker that is newer than the ledger."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from service.ledger import grants, migrate
from service.local import programs
from service.local.postgres import PostgresServer
from tests import roles, servers
from tests.apps import ledger_app
from tests.patience import wait
from tests.processes import ROOT
from tests.road import Road

PAGE = ROOT / "docs/backup.md"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Roles belong to a whole server, so it is one of our own."""
    servers.need_postgres()
    found = PostgresServer(tmp_path_factory.mktemp("postgres"), options=servers.FAST).start()
    yield found
    found.stop()


def follow(number: int, folder: pathlib.Path, **addresses: str) -> None:
    """Run the commands of a block of the page."""
    block = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)[number]
    (folder / "millrace").write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m service "$@"\n')
    (folder / "millrace").chmod(0o755)
    path = f"{folder}:{programs.postgres()}:{os.environ['PATH']}"
    subprocess.run(["sh", "-eu", "-c", block], env=addresses | {"PATH": path}, cwd=folder, check=True)


@pytest.mark.heavy
def test_a_restored_ledger_works_on_with_a_broker_that_is_newer(
    server: PostgresServer, vhost: str, tmp_path: pathlib.Path
) -> None:
    urls = roles.prepare(server, "ledger")
    roles.run(urls[grants.MIGRATOR], ledger_app.SCHEMA)
    road = Road(server.dsn_of("ledger"), vhost, tmp_path)
    road.declare()
    [old] = road.store("ledger.step", ["{}"] * 3)
    road.sql("update millrace.tickets set published_at = now()")
    follow(0, tmp_path, MIGRATOR_URL=urls[grants.MIGRATOR])
    [new] = road.store("ledger.step", ["{}"] * 2)
    road.publish(old, new)  # What the broker knows, the backup does not.

    restored = server.dsn_of("restored")
    follow(1, tmp_path, ADMIN_URL=server.dsn_of("postgres"), RESTORED_URL=restored)
    migrate.migrate(roles.dsn(restored, grants.MIGRATOR))
    after = Road(restored, vhost, tmp_path)
    try:
        assert after.ids() == sorted(old.event_ids), "as at the time of the backup"
        rebuild = after.run("rebuild", "service", "rebuild", database_url=roles.dsn(restored, grants.WEB))
        assert rebuild.wait_for_end() == 0
        assert "1 tickets are due now" in rebuild.text()
        worker = after.worker(database_url=roles.dsn(restored, grants.WORKER))
        after.clock(database_url=roles.dsn(restored, grants.CLOCK))
        after.assert_worked_once(old.event_ids)
        wait(lambda: after.ready() == 0, 20, "the tickets of events that nobody knows are acked")
        assert after.ids() == sorted(old.event_ids)
        assert after.one("select count(*) from millrace.strays") == 0
        assert worker.code is None
    finally:
        after.stop()
        road.stop()
