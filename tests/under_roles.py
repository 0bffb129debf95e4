"""A plugin of pytest that has the ledger's classes work under the roles of their processes: ``-p tests.under_roles``.

Every test of a class in ``CLASSES`` then shows, too, that its role may do all that the class does. In the end it says
which of them were used. ``tests/integration/test_under_roles.py`` runs what there is to be run so.
"""

from __future__ import annotations

import json
import threading
from typing import Any

import psycopg2
import pytest
import sqlalchemy

from service.ledger import (
    agenda,
    audit,
    backfill,
    cancel,
    counting,
    declared,
    discarding,
    explain,
    figures,
    grants,
    history,
    intake,
    keys,
    lanes,
    leases,
    letters,
    migrate,
    pauses,
    processes,
    queries,
    release,
    retention,
    schedules,
    slots,
    spent,
    standing,
    strays,
    upkeep,
    users,
    watching,
    work,
)
from service.ledger import engine as engines
from service.ledger.lines import Lines
from service.local.postgres import PostgresServer

#: Class → the role of the processes that it works in.
CLASSES: dict[type, str] = {
    agenda.ScheduleQueries: grants.WEB,
    audit.AuditLedger: grants.WEB,
    cancel.CancelLedger: grants.WEB,
    counting.Counting: grants.WEB,
    discarding.DiscardLedger: grants.WEB,
    explain.ExplainLedger: grants.WEB,
    figures.Figures: grants.WEB,
    history.History: grants.WEB,
    intake.IntakeLedger: grants.WEB,
    keys.KeyLedger: grants.WEB,
    lanes.LaneLedger: grants.WEB,
    letters.LetterLedger: grants.WEB,
    pauses.PauseLedger: grants.WEB,
    processes.ProcessLedger: grants.WEB,
    queries.Queries: grants.WEB,
    schedules.ScheduleLedger: grants.WEB,
    spent.SpentLedger: grants.WEB,
    standing.StandingLedger: grants.WEB,
    strays.StrayLedger: grants.WEB,
    users.UserLedger: grants.WEB,
    work.WorkLedger: grants.WORKER,
    leases.LeaseLedger: grants.WORKER,
    declared.Declarations: grants.CLOCK,
    release.ReleaseLedger: grants.CLOCK,
    retention.Retention: grants.CLOCK,
    slots.SlotLedger: grants.CLOCK,
    upkeep.Upkeep: grants.CLOCK,
    watching.LedgerWatch: grants.CLOCK,
}
#: What those classes make of the engine that they have, and so under their role.
PARTS = frozenset({work.Work, leases.LeaseWork, backfill.Filler})
SAID = "under their roles: "  #: before the names of those that were used, as JSON, at the end of a run
used: set[str] = set()


class Roled(engines.Engine):
    """An engine like another one, whose connections have a role."""

    def __init__(self, other: engines.Engine, role: str, kind: type) -> None:
        vars(self).update(vars(other))
        self._connect_args = other._connect_args | {"options": f"-c role={role} -c search_path=millrace,public"}
        self._lock, self._lines, self._engine = threading.Lock(), Lines(other._longest), None
        self._kind = kind.__name__

    def get(self) -> sqlalchemy.Engine:
        """The engine of this process."""
        used.add(self._kind)
        return super().get()


def _with_role(kind: type, role: str) -> None:
    plain = kind.__init__  # type: ignore[misc]

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        plain(self, *(Roled(a, role, kind) if type(a) is engines.Engine else a for a in args), **kwargs)

    kind.__init__ = init  # type: ignore[misc]


_migrate = migrate.migrate


def _and_open(url: str, *args: Any, **kwargs: Any) -> str:
    """Migrate, and let the tests' own tables be everybody's; the tests' user has them in `millrace`."""
    found = _migrate(url, *args, **kwargs)
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        everybody = ", ".join(grants.ROLES)
        cursor.execute(f"alter default privileges grant all on tables to {everybody}")
        cursor.execute(f"alter default privileges grant all on sequences to {everybody}")
    connection.close()
    return found


def pytest_configure(config: pytest.Config) -> None:
    """Take the classes' engines."""
    for kind, role in CLASSES.items():
        _with_role(kind, role)
    migrate.migrate = _and_open


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was looked at."""
    terminalreporter.write_line(SAID + json.dumps(sorted(used)))


@pytest.fixture(scope="session", autouse=True)
def roles_there(postgres: PostgresServer) -> None:
    """The roles, before any ledger is made."""
    connection = psycopg2.connect(postgres.dsn_of("postgres"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(grants.roles())
    connection.close()
