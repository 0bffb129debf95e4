"""docs/backup.md, followed word by word: the dump, the restore, and a broker that is newer than the ledger."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import psycopg2
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


def test_a_ledger_that_somebody_is_connected_to_gives_its_name_to_the_restored_one(
    postgres: PostgresServer, tmp_path: pathlib.Path
) -> None:
    """As a pooler keeps its connections, or somebody looks."""
    names = {name: f"{name}_{os.getpid()}" for name in ("millrace", "restored", "broken")}
    for name in ("millrace", "restored"):
        postgres.execute(f"create database {names[name]}")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (block,) = [text for _, text in blocks if "rename to" in text]
    for name, here in names.items():
        block = re.sub(rf"\b{name}\b", here, block)
    path = f"{programs.postgres()}:{os.environ['PATH']}"
    with contextlib.closing(psycopg2.connect(postgres.dsn_of(names["millrace"]))) as still_there:
        given = {"ADMIN_URL": postgres.dsn_of("postgres"), "PATH": path}
        subprocess.run(["sh", "-eu", "-c", block], env=given, cwd=tmp_path, check=True, capture_output=True)
        with pytest.raises(psycopg2.OperationalError), still_there.cursor() as cursor:
            cursor.execute("select")
    for name in ("millrace", "broken"):
        psycopg2.connect(postgres.dsn_of(names[name])).close()
        postgres.execute(f"drop database {names[name]}")


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
