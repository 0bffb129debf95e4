"""Before a rollout: whether the code at hand can work what stands in the ledger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pydantic
import pytest

from service import rollout
from service.domain import handlers
from service.ledger import standing
from tests.ledgers import Ledger, all_out
from workers import face

pytestmark = pytest.mark.postgres


class Order(pydantic.BaseModel):
    number: int


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    found = Ledger(database)
    yield found
    found.close()


def code(*types: str) -> handlers.Registry:
    """A version of the code that has these types, each with an order as its payload."""
    registry = handlers.Registry()
    for name in types:
        registry.add(handlers.Handler(name, print, payload=Order, parse=face.parser(Order)))
    return registry


def verdicts(ledger: Ledger, registry: handlers.Registry, sample: int = 10) -> dict[tuple[str, str], rollout.Verdict]:
    found = standing.StandingLedger(ledger.engine).look(sample)
    return {(one.place, one.type): rollout.judge(one, registry) for one in found}


def test_every_place_is_looked_at_for_types_and_payloads(ledger: Ledger) -> None:
    for name in ("order.placed", "order.gone", "order.out", "order.died"):
        ledger.handler(name, print, bundle=1)
    good, bad = {"number": 1}, {"number": "many"}
    ledger.post("order.placed", good, good, bad)
    ledger.post("order.gone", good)
    all_out(ledger)  # Else they would be marked out a little later.
    ledger.sql("update millrace.tickets set published_at = null")
    ledger.post("order.out", bad)
    ledger.sql("update millrace.tickets set published_at = now() where type = 'order.out'")
    [died, unfit] = ledger.post("order.died", good, bad)
    ledger.sql("delete from millrace.tickets where type = 'order.died'")
    ledger.sql("update millrace.events set state = 'dead' where type = 'order.died'")
    ledger.sql(
        "insert into millrace.dead (event_id, type, reason) values (%s, 'order.died', 'attempts'),"
        " (%s, 'order.died', 'invalid')", died, unfit,
    )  # fmt: skip
    ledger.sql(
        "insert into millrace.schedules (name, type, spec, next_due) values"
        " ('nightly', 'order.swept', '{\"payload\": {\"number\": 1}}', now() + interval '1 day'),"
        " ('hourly', 'order.placed', '{\"payload\": {}}', now() + interval '1 hour')"
    )
    found = verdicts(ledger, code("order.placed", "order.out", "order.died"))
    seen = {place: (one.count, one.known, one.tried, len(one.unfit), one.ok) for place, one in found.items()}
    assert seen == {
        ("waiting", "order.placed"): (3, True, 3, 1, False),
        ("waiting", "order.gone"): (1, False, 0, 0, False),
        ("published", "order.out"): (1, True, 1, 1, False),
        ("dead", "order.died"): (1, True, 1, 0, True),  # The other one is known not to fit.
        ("scheduled", "order.swept"): (1, False, 0, 0, False),
        ("scheduled", "order.placed"): (1, True, 1, 1, False),
    }
    assert "/number" in found["waiting", "order.placed"].fault
    assert "MILLRACE_APPS" in found["waiting", "order.gone"].line()
    assert "take the old form" in found["waiting", "order.placed"].line()


def test_what_is_new_and_what_is_old_is_tried_in_a_long_line(ledger: Ledger) -> None:
    ledger.handler("order.placed", print, bundle=1)
    ledger.post("order.placed", {"number": "oldest"}, *[{"number": 1}] * 50, {"number": "newest"})
    all_out(ledger)
    ledger.sql("update millrace.tickets set published_at = null")
    found = verdicts(ledger, code("order.placed"), sample=3)["waiting", "order.placed"]
    assert (found.count, found.more, found.tried) == (52, False, 6)


def test_the_command_ends_with_one_when_something_cannot_be_worked(ledger: Ledger) -> None:
    ledger.handler("ledger.step", print, bundle=1)
    ledger.handler("later.step", print, bundle=1)
    ledger.post("ledger.step", {"do": "add"})
    ledger.post("later.step", {"do": "add"})
    for apps, code_wanted in (("tests.apps.ledger_app", 1), ("tests.apps.ledger_app,tests.apps.later_app", 0)):
        environment = os.environ | {"MILLRACE_DATABASE_URL": ledger.url, "MILLRACE_APPS": apps}
        words = [sys.executable, "-m", "service", "check-deploy", "--json"]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code_wanted, done.stderr
        assert {v["type"]: v["known"] for v in json.loads(done.stdout)}["later.step"] is (code_wanted == 0)
