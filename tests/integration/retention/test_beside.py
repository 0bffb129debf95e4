"""What stands beside the events of a day that has gone, and what is said of them."""

from __future__ import annotations

import datetime
import time

import pytest

from service import bootstrap
from service.application import replay
from service.domain import errors, ids
from service.ledger.letters import LetterLedger
from service.ledger.upkeep import Upkeep
from service.settings import Settings
from tests import days
from tests.front import Front
from tests.integration.retention.parts import OLD, clear, count
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


def test_a_read_of_what_is_gone_says_so(ledger: Ledger) -> None:
    [gone, *_] = days.fill(ledger, OLD, 3, "succeeded")
    clear(ledger)
    client = Front(ledger).client()
    said = f"events of {OLD} were removed {days.ago(0)}, for their retention was over"
    for path in (f"/v1/events/{gone}", f"/v1/events/{gone}/explain"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert answer.get_json()["detail"].endswith(said)
    assert said in client.get(f"/console/events/{gone}").text
    never = client.get(f"/v1/events/{ids.uuid7(time.time())}")
    assert (never.status_code, "removed" in never.get_json()["detail"]) == (404, False)


def test_a_replay_outlives_the_letter_that_it_came_from(ledger: Ledger) -> None:
    [letter] = days.fill(ledger, OLD, 1, "dead")
    clear(ledger)
    _, again = replay.Replayer(LetterLedger(ledger.engine), ledger.registry, rate=1000.0).one(letter, by="test")
    clear(ledger)
    client = Front(ledger).client()
    assert client.get(f"/v1/events/{again}").get_json()["replay_of"] == letter
    assert client.get(f"/console/events/{again}").status_code == 200
    assert client.get(f"/v1/events/{letter}").status_code == 404
    assert client.get("/v1/dead").get_json()["dead"] == []
    with pytest.raises(errors.EventNotFound):
        replay.Replayer(LetterLedger(ledger.engine), ledger.registry, rate=1000.0).one(letter, by="test")


def test_of_each_schedule_the_latest_slots_stay_and_those_whose_event_is_open(ledger: Ledger) -> None:
    [waiting] = days.fill(ledger, OLD, 1, "pending")
    slots = (
        "insert into millrace.slots (schedule, due_at, outcome, clock) select %s, date_trunc('day', now())"
        " - make_interval(days => %s, mins => n), 'fired', 'x' from generate_series(1, %s) n"
    )
    schedule = '{"type": "a.b", "plan": {"every": 60}, "payload": {}}'
    new = "insert into millrace.schedules (name, type, spec, origin, next_due) values (%s, 'a.b', %s, 'api', now())"
    ledger.sql(new, "busy", schedule)
    for name, ago, number in (("busy", 35, 200), ("busy", 20, 30), ("rare", 300, 90), ("young", 5, 300)):
        ledger.sql(slots, name, ago, number)
    oldest = "select max(due_at) from millrace.slots where schedule = 'busy' and due_at < now() - interval '35 days'"
    ledger.sql(f"update millrace.slots set event_id = %s where due_at = ({oldest}) - interval '199 min'", waiting)
    clear(ledger)
    left = dict(ledger.sql("select schedule, count(*) from millrace.slots group by 1"))
    assert left == {"busy": 100 + 1, "rare": 90, "young": 300}
    # What was fired before is not known any more, so it is not filled in again.
    since, until = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), datetime.datetime.now(datetime.UTC)
    here = bootstrap.operations(Settings.model_construct(database_url=ledger.url), ledger.engine, ledger.registry)
    filled = here.schedules.backfill("busy", since, until, limit=10, dry_run=True, by="test")
    [(known,)] = ledger.sql("select slots_since from millrace.schedules where name = 'busy'")
    assert filled.first is not None
    assert filled.first > known


def test_old_strays_go(ledger: Ledger) -> None:
    stray = (
        "insert into millrace.strays (filed_at, queue, reason, properties, headers, body)"
        " values (now() - %s * interval '1 day', 'events', 'rejected', '{}', '{}', '')"
    )
    for age in (31, 29):
        ledger.sql(stray, age)
    clear(ledger)
    assert count(ledger, "strays") == 1


def test_idempotency_keys_are_no_business_of_retention(ledger: Ledger) -> None:
    key = "insert into millrace.idempotency_keys select 'test', n::text, '', gen_random_uuid(), now() - n * interval %s"
    ledger.sql(f"{key} from generate_series(1, 23) n", "1 hour")
    clear(ledger)
    Upkeep(ledger.engine).forget_keys()
    assert count(ledger, "idempotency_keys") == 23
