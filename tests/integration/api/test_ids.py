"""Ids are told in lower case, and taken in either."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service.domain import errors, ticket
from tests.front import Front
from tests.integration.test_verbs import run
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


def fail(payload: Any, ctx: Any) -> None:
    raise RuntimeError("no")


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    ledger = Ledger(database)
    ledger.handler("a.fails", fail, attempts=1)
    yield ledger
    ledger.check()


@pytest.fixture
def dead(ledger: Ledger) -> Callable[[], str]:
    def make() -> str:
        [found] = ledger.post("a.fails", 1)
        ledger.work()
        return found

    return make


def test_an_id_in_capitals_is_that_of_the_same_event_everywhere(ledger: Ledger, dead: Callable[[], str]) -> None:
    client, answers = Front(ledger).client(), []

    def ask(method: str, path: str, event_id: str, **more: Any) -> Any:
        answer = client.open(path.format(event_id.upper()), method=method, **more)
        assert answer.status_code < 400, (path, answer.text)
        answers.append((path, answer))
        return answer.get_json()

    old, gone, shown = dead(), dead(), dead()
    assert ask("GET", "/v1/events/{}", old)["id"] == old
    assert ask("GET", "/v1/events/{}/explain", old)["id"] == old
    assert ask("POST", "/v1/events/{}/replay", old)["replay_of"] == old
    assert ask("POST", "/v1/events/{}/discard", gone)["id"] == gone
    [waiting] = ledger.post("a.fails", 2)
    assert ask("POST", "/v1/events/{}/cancel", waiting)["id"] == waiting
    [stray] = [row[0] for row in ledger.sql(
        "insert into millrace.strays (queue, reason, properties, headers, body) values ('events', 'x', '{}', '{}', 'x')"
        " returning id::text"
    )]  # fmt: skip
    assert ask("GET", "/v1/strays/{}", stray)["id"] == stray
    ask("GET", "/console/events/{}", old)
    ask("GET", "/console/live/events?than={}", old)
    ask("POST", "/console/dead/discard", shown, data={"id": shown.upper(), "confirm": "1"})
    assert shown.upper() not in str([answer.text for _, answer in answers])
    for event_id, acts in ((old, ["letter.replayed"]), (gone, ["letter.discarded"]), (waiting, ["event.cancelled"]),
                           (shown, ["letter.discarded"])):  # fmt: skip
        assert [entry["act"] for entry in ask("GET", "/v1/audit?target={}", event_id)["audit"]] == acts
    for path, answer in answers:
        assert old.upper() not in answer.text, path


def test_the_command_line_takes_an_id_in_capitals(ledger: Ledger, dead: Callable[[], str]) -> None:
    event_id = dead()
    shown = run("events", "show", event_id.upper(), "--json", MILLRACE_DATABASE_URL=ledger.url)
    assert json.loads(shown.stdout)["id"] == event_id
    assert run("dead", "discard", event_id.upper(), MILLRACE_DATABASE_URL=ledger.url).exit_code == 0
    assert ledger.sql("select target from millrace.audit") == [(event_id,)]


def test_a_message_with_an_id_in_capitals_is_none_of_ours() -> None:
    # The road's statements compare ids as texts: what we publish is in lower case, and nothing else is a ticket.
    body = ticket.Ticket("0" * 8 + "-0000-7000-8000-" + "a" * 12, "a", ("0" * 8 + "-0000-7000-8000-" + "b" * 12,), "x",
                         "k", "q").body()  # fmt: skip
    assert ticket.read(body).event_ids == tuple(body["events"])
    for changed in ({"ticket": body["ticket"].upper()}, {"events": [body["events"][0].upper()]}):
        with pytest.raises(errors.ForeignMessage):
            ticket.read(body | changed)
