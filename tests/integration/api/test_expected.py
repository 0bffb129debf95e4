"""What is told of an event at its acceptance: why it waits, and when it should start."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from service.domain import errors, event, processes
from service.ledger.processes import ProcessLedger
from service.ledger.upkeep import Upkeep
from tests.integration.api.doors import Api
from tests.ledgers import SilentBroker
from tests.patience import PATIENCE

pytestmark = pytest.mark.postgres

QUEUE = "slow"  #: of the type echo


def posted(api: Api, query: str = "", type_name: str = "echo", key: str | None = None) -> dict[str, Any]:
    """The answer to a post."""
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = api.client.post(f"/v1/events/{type_name}{query}", json={"number": 7}, headers=headers)
    assert answer.status_code == 202, answer.text
    document: dict[str, Any] = json.loads(answer.data)
    return document


def outlook(document: dict[str, Any]) -> tuple[str, float | None]:
    """Why it waits, and the seconds from its acceptance to its start."""
    if document["expected_at"] is None:
        return document["reason"], None
    expected, accepted = (datetime.datetime.fromisoformat(document[name]) for name in ("expected_at", "accepted_at"))
    return document["reason"], round((expected - accepted).total_seconds(), 1)


def has_worker(api: Api, slots: int, *queues: str) -> None:
    """Note a worker that lives."""
    process = processes.Process(processes.Kind.WORKER, "here", 1, "0", ("echo", "other"), queues or (QUEUE,), slots)
    ProcessLedger(api.engine).note(process, processes.Note(age=1.0))


def count(api: Api, **paces: float | None) -> None:
    """Let the clock count, by these seconds for each event of a type."""
    for name, pace in paces.items():
        api.ledger.sql(
            "insert into millrace.types (name, pace) values (%s, %s)"
            " on conflict (name) do update set pace = excluded.pace",
            *(name, pace),
        )
    api.ledger.sql("update millrace.duties set done_at = '-infinity' where name = 'windows'")
    Upkeep(api.engine).count_windows()


def put_out(api: Api, type_name: str, number: int) -> None:
    """Have so many events of a type with the broker."""
    api.ledger.intake.submit([event.NewEvent(type=type_name, payload='{"number": 1}') for _ in range(number)])
    api.ledger.until(lambda: not api.ledger.sql("select 1 from millrace.tickets where published_at is null"))


def test_an_event_for_later_should_start_then(api: Api) -> None:
    found = posted(api, "?run_at=2096-01-31T08:00:00Z")
    assert (found["reason"], found["expected_at"]) == ("scheduled", "2096-01-31T08:00:00Z")
    assert outlook(posted(api, "?delay=90")) == ("scheduled", 90.0)
    assert outlook(posted(api, "?run_at=2001-01-31T08:00:00Z")) == ("queued", None)


@pytest.mark.parametrize("place", ["types/echo", f"queues/{QUEUE}"])
def test_the_first_post_after_a_pause_is_told_of_it(api: Api, place: str) -> None:
    has_worker(api, 1)
    count(api)
    assert outlook(posted(api)) == ("queued", 0.0)
    assert api.client.post(f"/v1/{place}/pause").status_code == 200
    assert outlook(posted(api)) == ("paused", None)
    assert outlook(posted(api, "?delay=90")) == ("scheduled", None)
    assert outlook(posted(api, type_name="orders.created"))[0] == "queued"
    assert api.client.post(f"/v1/{place}/resume").status_code == 200
    assert outlook(posted(api)) == ("queued", 0.0)


def test_it_should_start_when_the_workers_of_its_queue_have_done_what_is_there(api: Api) -> None:
    has_worker(api, 2, "events")
    put_out(api, "other", 3)
    count(api, other=0.5)
    assert outlook(posted(api, type_name="orders.created")) == ("queued", 0.8)  # 3 events of 0.5 s for two hands.
    assert outlook(posted(api)) == ("queued", None)  # It has another queue.


def test_behind_a_full_window_it_should_start_when_what_waits_of_its_type_is_done(api: Api) -> None:
    has_worker(api, 2)
    put_out(api, "echo", 5)
    count(api, echo=4.0)
    posted(api, type_name="other")  # By this flush the door knows, and leaves the next one to the clock.
    assert outlook(posted(api)) == ("held back", 10.0)
    count(api)
    assert outlook(posted(api)) == ("held back", 12.0)
    api.ledger.sql(
        "insert into millrace.tickets (id, type, queue, exchange, routing_key, event_ids, due_at)"
        " select gen_random_uuid(), 'echo', 'slow', 'e', 'k', array[gen_random_uuid()], now()"
        " from generate_series(1, 1000)"
    )
    count(api)
    assert outlook(posted(api)) == ("held back", None)  # Nobody has counted them to the end.


@pytest.mark.parametrize(
    "missing",
    [
        "update millrace.types set pace = null where name = 'echo'",
        "update millrace.processes set seen_at = now() - interval '1 min'",
        "update millrace.processes set queues = '{others}'",
    ],
    ids=["a pace", "a live worker", "a worker for the queue"],
)
def test_nobody_says_what_nobody_knows(api: Api, missing: str) -> None:
    has_worker(api, 1)
    put_out(api, "echo", 1)
    count(api, echo=1.0)
    assert outlook(posted(api)) == ("queued", 1.0)
    api.ledger.sql(missing)
    count(api)
    assert outlook(posted(api)) == ("queued", None)


def test_an_old_count_is_none(api: Api) -> None:
    has_worker(api, 1)
    count(api)
    assert outlook(posted(api)) == ("queued", 0.0)
    api.ledger.sql("update millrace.duties set done_at = now() - interval '11 s' where name = 'windows'")
    assert outlook(posted(api)) == ("queued", None)


def test_nothing_starts_while_the_broker_is_away(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    has_worker(api, 1)
    count(api)
    monkeypatch.setattr(SilentBroker, "tick", _away)
    posted(api)  # The publisher wakes up.
    api.ledger.until(lambda: api.ledger.publisher.up is False)
    assert outlook(posted(api)) == ("queued", None)


def test_a_repeat_is_told_when_the_first_should_start(api: Api) -> None:
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=PATIENCE)
    at_once, then, later = "", f"?run_at={soon.isoformat().replace('+00:00', 'Z')}", "?delay=0.5"
    first = [posted(api, query, key=f"k{number}") for number, query in enumerate((at_once, then, later))]
    api.ledger.until(lambda: api.ledger.sql("select now() > %s + interval '0.5 s'", soon) == [(True,)])
    again = [posted(api, query, key=f"k{number}") for number, query in enumerate((at_once, then, later))]
    assert again[:2] == first[:2]
    assert outlook(again[2]) == outlook(first[2]) == ("scheduled", 0.5)


def _away(broker: SilentBroker) -> None:
    raise errors.BrokerUnavailable("away")
