"""A plugin of pytest that has the ledger's classes work under the roles of their processes: ``-p tests.under_roles``.

Every test of a class in ``CLASSES`` then shows, too, that its role may do all that the class does.
"""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest

from service.ledger import (
    agenda,
    cancel,
    declared,
    grants,
    intake,
    leases,
    letters,
    migrate,
    pauses,
    queries,
    release,
    retention,
    schedules,
    slots,
    strays,
    upkeep,
    watching,
    work,
)
from service.ledger import engine as engines
from service.local.postgres import PostgresServer

#: Class → the role of the processes that it works in.
CLASSES: dict[type, str] = {
    agenda.ScheduleQueries: grants.WEB,
    cancel.CancelLedger: grants.WEB,
    intake.IntakeLedger: grants.WEB,
    letters.LetterLedger: grants.WEB,
    pauses.PauseLedger: grants.WEB,
    queries.Queries: grants.WEB,
    schedules.ScheduleLedger: grants.WEB,
    strays.StrayLedger: grants.WEB,
    work.WorkLedger: grants.WORKER,
    leases.LeaseLedger: grants.WORKER,
    declared.Declarations: grants.CLOCK,
    release.ReleaseLedger: grants.CLOCK,
    retention.Retention: grants.CLOCK,
    slots.SlotLedger: grants.CLOCK,
    upkeep.Upkeep: grants.CLOCK,
    watching.LedgerWatch: grants.CLOCK,
}


class Roled(engines.Engine):
    """An engine whose connections have a role."""

    def __init__(self, other: engines.Engine, role: str) -> None:
        pipelined = "connection_factory" in other._connect_args
        super().__init__(other.url.render_as_string(hide_password=False), size=other.size, pipelined=pipelined)
        self._connect_args["options"] = f"-c role={role} -c search_path=millrace,public"


def _with_role(kind: type, role: str) -> None:
    plain = kind.__init__  # type: ignore[misc]

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        given = [Roled(a, role) if type(a) is engines.Engine else a for a in args]
        plain(self, *given, **kwargs)

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


@pytest.fixture(scope="session", autouse=True)
def roles_there(postgres: PostgresServer) -> None:
    """The roles, before any ledger is made."""
    connection = psycopg2.connect(postgres.dsn_of("postgres"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(grants.roles())
    connection.close()
