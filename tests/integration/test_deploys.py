"""Deploys: a mark where a kind of process comes in another version, and no other marks."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from service import __version__
from service.domain import processes
from service.ledger import engine as engines
from service.ledger.processes import ProcessLedger
from service.settings import Settings
from tests.front import Front
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


@pytest.fixture
def client(database: str) -> FlaskClient:
    return Front(Ledger(database)).client()


@pytest.fixture
def ledger(database: str) -> ProcessLedger:
    return ProcessLedger(engines.Engine(database))


def note(ledger: ProcessLedger, version: str, pid: int, *, age: float = 0.0, kind: str = "worker") -> None:
    """A process notes itself, ``age`` seconds after it has begun."""
    ledger.note(processes.Process(processes.Kind(kind), "here", pid, version, ()), processes.Note(age))


def marks(ledger: ProcessLedger) -> list[tuple[str, str]]:
    return [(found["kind"], found["version"]) for found in ledger.deploys(seconds=3600)][::-1]


def test_a_new_version_makes_one_mark_however_many_processes_it_has(ledger: ProcessLedger) -> None:
    for pid in (1, 2):
        note(ledger, "1", pid)
    note(ledger, "1", 3, kind="web")
    for pid in (4, 5):
        note(ledger, "2", pid)
    assert marks(ledger) == [("worker", "1"), ("web", "1"), ("worker", "2")]


def test_those_that_go_on_in_the_old_version_make_none(ledger: ProcessLedger) -> None:
    for pid in (1, 2):
        note(ledger, "1", pid, age=60)
    note(ledger, "2", 3)
    note(ledger, "1", 1, age=70)
    note(ledger, "1", 9)  # One of the old ones was started again.
    assert marks(ledger) == [("worker", "1"), ("worker", "2")]


def test_to_go_back_is_a_deploy_too(ledger: ProcessLedger, client: FlaskClient, database: str) -> None:
    for version, pid in (("1", 1), ("2", 2)):
        note(ledger, version, pid)
        with engines.Engine(database).get().begin() as connection:
            connection.exec_driver_sql("update millrace.deploys set at = at - interval '2 minutes'")
            connection.exec_driver_sql("update millrace.processes set seen_at = seen_at - interval '1 minute'")
    note(ledger, "1", 3)
    assert marks(ledger) == [("worker", "1"), ("worker", "2"), ("worker", "1")]
    found = client.get("/v1/deploys?limit=1").get_json()["deploys"]
    assert [(one["kind"], one["version"]) for one in found] == [("worker", "1")]
    assert client.get("/v1/deploys?days=0").status_code == 422
    page = client.get("/console/workers").text
    assert re.findall("<code>(.)</code></li>", page[page.index('id="deployed"') :]) == ["1", "2", "1"]


def test_the_overview_shows_them(ledger: ProcessLedger, client: FlaskClient, database: str) -> None:
    with engines.Engine(database).get().begin() as connection:
        connection.exec_driver_sql(
            "insert into millrace.deploys (kind, version, at) values ('web', '1.2+abc', now() - interval '20 minutes')"
        )
        connection.exec_driver_sql(
            "insert into millrace.events (id, type, payload) values (gen_random_uuid(), 'a.b', '1')"
        )
    page = client.get("/console").text
    assert 'class="mark" d="M' in page
    assert "Deployed: web 1.2+abc at" in page


def test_what_is_deployed_is_part_of_the_version() -> None:
    assert Settings.model_construct(revision="").version == __version__
    assert Settings.model_construct(revision="3f2a91c").version == f"{__version__}+3f2a91c"
