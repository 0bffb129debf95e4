"""Migrations: `pre` ones run under old code; `post` ones when no older code lives, and none starts afterwards."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import threading
from collections.abc import Callable, Iterator

import psycopg2
import pytest

from service.domain import errors, processes
from service.ledger import engine as engines
from service.ledger import migrate, schema
from service.ledger.processes import ProcessLedger
from tests.patience import PATIENCE, wait

pytestmark = pytest.mark.postgres

TODAY = schema.HEAD
MIGRATION = """
from alembic import op

revision = "{revision}"
down_revision = "{before}"
phase = "{phase}"


def upgrade() -> None:
    op.execute("{sql}")
"""
ADDS = ("9001", "pre", "alter table millrace.types add column later text")
TAKES = ("9002", "post", "alter table millrace.types drop column later")
ADDS_MORE = ("9003", "pre", "alter table millrace.types add column latest text")

Roll = Callable[..., None]


@pytest.fixture
def roll(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Roll:
    """Makes this process one of a version that brings these migrations, too."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(migrate, "FOLDER", folder)

    def roll(*migrations: tuple[str, str, str]) -> None:
        needed = before = TODAY
        for revision, phase, sql in migrations:
            text = MIGRATION.format(revision=revision, before=before, phase=phase, sql=sql)
            (folder / "versions" / f"{revision}_later.py").write_text(text)
            before, needed = revision, revision if phase == "pre" else needed
        monkeypatch.setattr(schema, "HEAD", before)
        monkeypatch.setattr(schema, "NEEDED", needed)

    return roll


@contextlib.contextmanager
def session(database: str) -> Iterator[psycopg2.extensions.cursor]:
    """A transaction of somebody else's, rolled back at the end."""
    with contextlib.closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        yield cursor


def note(database: str, pid: int) -> None:
    """A worker of this version tells that it lives."""
    engine = engines.Engine(database, role="test")
    worker = processes.Process(processes.Kind.WORKER, "host", pid, "0.1.0", ())
    ProcessLedger(engine).note(worker, processes.Note(1.0))
    engine.dispose()


def leave(database: str, seconds: float = processes.LIVE + 1) -> None:
    """All processes have gone, so long ago."""
    with contextlib.closing(psycopg2.connect(database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("update millrace.processes set seen_at = now() - make_interval(secs => %s)", (seconds,))


def check(database: str) -> None:
    """What a process does when it starts."""
    engine = engines.Engine(database, role="test")
    try:
        schema.check(engine.get())
    finally:
        engine.dispose()


def test_what_older_code_needs_is_taken_away_only_when_asked_and_when_none_lives(database: str, roll: Roll) -> None:
    note(database, 1)
    roll(ADDS, TAKES)
    assert migrate.migrate(database) == "9001"
    check(database)
    with pytest.raises(errors.SchemaNotReady, match=r"migration 9002 .* such code runs: worker host:1\."):
        migrate.migrate(database, post=True)
    check(database)
    leave(database)
    note(database, 2)  # Of the new version.
    assert migrate.migrate(database, post=True) == "9002"
    assert migrate.migrate(database) == "9002"
    check(database)


def test_code_that_does_not_tell_what_it_is_counts_as_old(database: str, roll: Roll) -> None:
    note(database, 1)
    with contextlib.closing(psycopg2.connect(database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("update millrace.processes set schema = null")
    roll(ADDS, TAKES)
    with pytest.raises(errors.SchemaNotReady, match="such code runs"):
        migrate.migrate(database, post=True)


def test_code_that_is_too_old_does_not_start(database: str, roll: Roll) -> None:
    roll(ADDS, TAKES)
    migrate.migrate(database, post=True)
    roll(ADDS)
    with pytest.raises(errors.SchemaNotReady, match="no room for code older than 9002, and this code is of 9001"):
        check(database)


def test_a_version_that_was_left_out_is_made_up_for_unless_its_code_lives(database: str, roll: Roll) -> None:
    note(database, 1)
    roll(ADDS, TAKES, ADDS_MORE)
    with pytest.raises(errors.SchemaNotReady, match="such code runs"):
        migrate.migrate(database)
    leave(database)
    assert migrate.migrate(database) == "9003"


def test_an_empty_ledger_gets_all_at_once(empty_database: str, roll: Roll) -> None:
    roll(ADDS, TAKES)
    assert migrate.migrate(empty_database) == "9002"
    check(empty_database)


class TestTablesInUse:
    """A migration that waits for a table has everyone wait behind it who comes later."""

    def test_others_have_their_turn_while_it_waits(self, database: str, roll: Roll) -> None:
        roll(ADDS)
        done: list[str] = []
        migration = threading.Thread(target=lambda: done.append(migrate.migrate(database)))
        with session(database) as holder:
            holder.execute("insert into millrace.types (name) values ('held.long')")
            migration.start()
            with session(database) as looking:
                waits = "select count(*) from pg_locks where not granted and relation = 'millrace.types'::regclass"

                def is_waiting() -> bool:
                    looking.execute(waits)
                    return bool(looking.fetchall()[0][0])

                wait(is_waiting, 20, "the migration waits for the table")
            with session(database) as another:
                another.execute(f"set statement_timeout = '{10 * PATIENCE}s'")
                another.execute("insert into millrace.types (name) values ('of.another')")
            assert not done
        migration.join()
        assert done == ["9001"]

    def test_it_gives_up_in_the_end(self, database: str, roll: Roll) -> None:
        roll(ADDS)
        with session(database) as holder:
            holder.execute("insert into millrace.types (name) values ('held.long')")
            with pytest.raises(errors.SchemaNotReady, match="in use all the time"):
                migrate.migrate(database, patience=0.0)
        assert migrate.migrate(database) == "9001"
