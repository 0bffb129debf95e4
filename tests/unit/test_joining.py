"""Tickets that wait for a child: who joins whom, who goes alone, and in whose turn."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.broker import message as envelope
from service.domain import handlers, ids
from service.domain import ticket as tickets
from workers import joining

QUICK = [0.001] * 3  #: seconds: fifty of these ride together


class Message:
    """What Celery is given."""

    def __init__(self, type_name: str, events: int, *, queue: str = "events", careful: bool = False) -> None:
        names = tuple(ids.uuid7(1.0) for _ in range(events))
        self.ticket = tickets.Ticket(ids.uuid7(1.0), type_name, names, "", "", queue, careful=careful)
        self.headers = envelope.headers(self.ticket)
        self.body = envelope.body(self.ticket)
        self.payload = json.loads(self.body)
        self.settled: list[str] = []

    def ack_log_error(self, *_: Any) -> None:
        self.settled.append("acked")

    def reject_log_error(self, *_: Any) -> None:
        self.settled.append("rejected")


class Parent:
    """A worker's parent without Celery."""

    def __init__(self) -> None:
        registry = handlers.Registry()
        for name, options in {"a.quick": {}, "b.quick": {}, "a.long": {"detached": True}}.items():
            registry.add(handlers.Handler(name, print, **options))  # type: ignore[arg-type]
        self.busy = True
        self.given: list[Any] = []
        self.paces = joining.Paces()
        self.gathering = joining.Gathering(self._give, registry, self.paces, lambda: self.busy)

    def _give(self, message: Any) -> None:
        self.given.append(message)
        self.busy = True

    def take(self, *messages: Message) -> None:
        for message in messages:
            self.gathering.take(message, tickets.read(envelope.argument(message.payload)))

    def finish(self) -> None:
        """The only child is through with what it had."""
        self.busy = False
        self.gathering.release()

    def types(self) -> list[tuple[str, int]]:
        """Of each run, the type and how many tickets."""
        bodies = [json.loads(message.body)[0] for message in self.given]
        return [(arguments[0]["type"], len(arguments)) for arguments in bodies]


@pytest.fixture
def parent() -> Parent:
    return Parent()


def test_a_ticket_goes_straight_to_a_child_that_is_idle(parent: Parent) -> None:
    parent.busy = False
    message = Message("a.quick", 1)
    parent.take(message)
    assert parent.given == [message]


def test_those_that_wait_join_up_to_their_bundle(parent: Parent) -> None:
    parent.paces.note("a.quick", QUICK)
    parent.take(*(Message("a.quick", 20) for _ in range(5)))
    assert parent.given == []
    parent.finish()
    parent.finish()
    parent.finish()
    assert parent.types() == [("a.quick", 2), ("a.quick", 2), ("a.quick", 1)]
    assert [message.headers[envelope.COUNT] for message in parent.given] == [40, 40, 20]
    assert [message.headers.get(envelope.TICKETS, 1) for message in parent.given] == [2, 2, 1]


def test_a_type_that_nobody_has_seen_yet_and_a_slow_one_go_one_by_one(parent: Parent) -> None:
    parent.paces.note("b.quick", [2.0])
    for name in ("a.quick", "b.quick"):
        parent.take(Message(name, 1), Message(name, 1))
    for _ in range(4):
        parent.finish()
    assert parent.types() == [("a.quick", 1), ("b.quick", 1), ("a.quick", 1), ("b.quick", 1)]


def test_a_detached_ticket_joins_nobody(parent: Parent) -> None:
    parent.paces.note("a.long", QUICK)
    parent.take(Message("a.long", 1), Message("a.long", 1))
    parent.finish()
    assert parent.types() == [("a.long", 1)]


def test_careful_tickets_join_nobody_and_leave_others_their_turns(parent: Parent) -> None:
    parent.paces.note("a.quick", QUICK)
    careful = [Message("a.quick", 1, careful=True) for _ in range(3)]
    others = [Message("a.quick", 1) for _ in range(2)]
    parent.take(*careful, *others)
    assert parent.given == []
    for _ in range(4):
        parent.finish()
    assert parent.types() == [("a.quick", 1), ("a.quick", 2), ("a.quick", 1), ("a.quick", 1)]
    assert [each for each in parent.given if each in careful] == careful


def test_what_has_joined_fits_into_the_pipe_to_a_child(parent: Parent) -> None:
    parent.paces.note("a.quick", [0.00001] * 500)
    parent.take(*(Message("a.quick", 1) for _ in range(1_000)))
    for _ in range(10):
        parent.finish()
    assert sum(len(json.loads(message.body)[0]) for message in parent.given) == 1_000
    assert max(len(message.body) for message in parent.given) < 64 * 1024
    assert len(parent.given) < 10


@pytest.mark.parametrize("how", ["ack", "reject"])
def test_what_was_joined_is_acked_and_rejected_together(parent: Parent, how: str) -> None:
    parent.paces.note("a.quick", QUICK)
    messages = [Message("a.quick", 1) for _ in range(3)]
    parent.take(*messages)
    parent.finish()
    [joint] = parent.given
    getattr(joint, f"{how}_log_error")(None, ())
    assert [message.settled for message in messages] == [[f"{how}ed"]] * 3


def test_a_type_that_has_become_slow_is_believed_at_once(parent: Parent) -> None:
    parent.paces.note("a.quick", [0.0001] * 500)
    parent.paces.note("a.quick", [joining.LONG])
    assert parent.paces.of("a.quick") == joining.LONG


def test_one_that_is_quick_again_is_believed_in_time(parent: Parent) -> None:
    parent.paces.note("a.quick", [1.0])
    found = []
    for _ in range(10):
        parent.paces.note("a.quick", QUICK)
        found.append(parent.paces.of("a.quick"))
    assert found[0] == pytest.approx(0.803 / 3.8)
    assert found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(0.01, abs=0.002)


def test_an_event_that_came_alone_says_little_of_those_that_came_together(parent: Parent) -> None:
    parent.paces.note("a.quick", [0.00005] * 500)
    parent.paces.note("a.quick", [0.02])
    assert parent.paces.of("a.quick") == pytest.approx(0.0001, rel=0.01)
    parent.paces.note("a.long", [0.02])
    parent.paces.note("a.long", [0.00005] * 500)
    assert parent.paces.of("a.long") == pytest.approx(0.00008, rel=0.05)


@pytest.mark.parametrize(
    ("seen", "unseen", "pace"),
    [(4, 0, 0.002), (4, 4, 0.002), (3, 4, None), (0, 4, None)],
    ids=["all are known", "half are known", "fewer are known", "none is known"],
)
def test_how_long_those_who_wait_take_is_told_by_what_is_known(
    parent: Parent, seen: int, unseen: int, pace: float | None
) -> None:
    parent.paces.note("a.quick", QUICK)
    parent.take(*[Message("a.quick", 2) for _ in range(seen)], *[Message("b.quick", 2) for _ in range(unseen)])
    assert parent.gathering.crowds() == {"events": joining.Crowd(seen + unseen, 0, pace)}


def test_a_crowd_is_remembered_until_it_was_asked_for(parent: Parent) -> None:
    parent.paces.note("a.quick", QUICK)
    parent.take(*[Message("a.quick", 1) for _ in range(3)])
    parent.finish()
    assert parent.gathering.crowds() == {"events": joining.Crowd(3, 3, None)}
    assert parent.gathering.crowds() == {}


def test_each_queue_has_a_crowd_of_its_own(parent: Parent) -> None:
    parent.paces.note("a.quick", QUICK)
    parent.take(*(Message("a.quick", 2) for _ in range(3)), Message("a.long", 1, queue="reports"))
    crowds = {"events": joining.Crowd(3, 0, 0.002), "reports": joining.Crowd(1, 0, None)}
    assert parent.gathering.crowds() == crowds
