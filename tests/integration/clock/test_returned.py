"""What the broker gives back: our tickets are due again, all else is filed."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from service.application import returned
from service.domain import ticket as tickets
from service.ledger.upkeep import Upkeep
from tests.ledgers import Ledger

pytestmark = pytest.mark.postgres


class Message:
    def __init__(self, body: Any, **headers: Any) -> None:
        self.body = body
        self.properties = {"content_type": "application/json", "application_headers": headers}


class DeadQueue:
    def __init__(self, *messages: Message) -> None:
        self.messages, self.acked = list(messages), 0

    def get(self) -> Message | None:
        return self.messages.pop(0) if self.messages else None

    def ack(self, message: Message) -> None:
        self.acked += 1


def test_a_ticket_that_comes_back_is_due_again_and_what_is_not_ours_is_filed(ledger: Ledger) -> None:
    ledger.post("a.a", 1)
    ledger.until(lambda: not ledger.sql("select 1 from millrace.tickets where published_at is null"))
    [ticket] = ledger.broker.published
    from service.broker import message

    ours = message.body(ticket)
    newer = ours.replace('"v":1', f'"v":{tickets.VERSION + 1},"more":[1]').replace('"at":', '"when":')
    foreign = [b"\xff\xfe", '{"a":', "[]", '[["x"],{},{}]', "[" * 100_000]
    death = [{"queue": "events", "reason": "delivery_limit"}]
    strange = [Message(f, odd=b"\x00\xff", n=float("nan")) for f in foreign]
    queue = DeadQueue(Message(ours, **{"x-death": death}), Message(newer), *strange)
    assert returned.empty(queue, Upkeep(ledger.engine)) == 7
    assert queue.acked == 7
    found = ledger.sql("select returns, careful, published_at, due_at > clock_timestamp() from millrace.tickets")
    assert found == [(2, True, None, True)]
    filed = ledger.sql("select body, headers::text from millrace.strays order by length(body)")
    assert [bytes(row[0]) for row in filed] == sorted(
        (f if isinstance(f, bytes) else f.encode() for f in foreign), key=len
    )


def test_a_ticket_that_is_over_is_dropped_and_what_names_none_of_ours_is_filed(ledger: Ledger) -> None:
    """A ticket's form is this version's, or is that of a newer one, which nobody here knows."""
    over = {"v": tickets.VERSION, "ticket": str(uuid.uuid4()), "type": "a.a", "queue": "events"}
    over |= {"events": [str(uuid.uuid4())], "careful": False, "at": 1.0}
    newer = {"v": tickets.VERSION + 1, "ticket": str(uuid.uuid4()), "anything": 1}
    forged = [over | {"more": 1}, {"ticket": over["ticket"]}, newer | {"ticket": "a\0b"}, newer | {"v": "2"}, {}]
    queue = DeadQueue(*(Message(json.dumps([[body], {}, {}])) for body in [over, newer, *forged]))
    assert returned.empty(queue, Upkeep(ledger.engine)) == 7
    assert queue.acked == 7
    filed = [
        json.loads(bytes(row[0]))[0][0] for row in ledger.sql("select body from millrace.strays order by filed_at")
    ]
    assert filed == forged


@pytest.mark.parametrize("name", ["a\0b", "\udcff", "q" * 5000, "", "a b", 5])
def test_no_word_of_a_death_is_believed_but_those_of_the_broker(name: Any) -> None:
    strange = [{"queue": name, "reason": name}]
    assert returned.death(Message("", **{"x-death": strange})) == ("unknown", "unknown")
    ours = [{"queue": "events.parallel", "reason": "maxlen"}, *strange]
    assert returned.death(Message("", **{"x-death": ours})) == ("events.parallel", "maxlen")
