"""The names on the broker. They are written here and nowhere else."""

from __future__ import annotations

import dataclasses
import re

from service.domain import errors

EVENTS = "millrace.events"  #: topic exchange for tickets of events
PERIODIC = "millrace.periodic"  #: topic exchange for tickets of ticks
DEAD = "millrace.dead"  #: topic exchange for what a queue gives up

EVENTS_QUEUE = "events"
PERIODIC_QUEUE = "periodic"
DEAD_QUEUE = "dead"

#: The queues that a handler may name beside ``events``. A dot would make one queue's binding take another's tickets.
QUEUE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,99}")
PARALLEL = ".parallel"
RESERVED_QUEUES = frozenset({PERIODIC_QUEUE, DEAD_QUEUE, "event"})

EXCHANGES = (EVENTS, PERIODIC, DEAD)

#: Of every work queue. The delivery limit and lengths are policies, which can be changed; arguments cannot.
WORK_ARGUMENTS = {
    "x-queue-type": "quorum",
    "x-dead-letter-exchange": DEAD,
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",  # At-least-once dead-lettering asks for it.
}
DEAD_ARGUMENTS = {"x-queue-type": "quorum"}

#: How often the broker may hand out one message before it is dead. A policy: RabbitMQ 3.10 has no default.
DELIVERY_LIMIT = 100
#: Of the queue ``dead``, behind which there is none: RabbitMQ 4 would delete a message that was read in vain 20 times.
#: It knows -1 for no limit, and 3.10 does not.
NO_LIMIT = 1_000_000_000

#: Why a queue gives a message up, in the broker's words.
DEATHS = ("delivery_limit", "rejected", "expired", "maxlen")


@dataclasses.dataclass(frozen=True, slots=True)
class Queue:
    """A queue, and what is bound to it."""

    name: str
    exchange: str
    binding: str
    arguments: dict[str, str]


def check_queue(name: str) -> None:
    """Raises DeclarationError for a queue that a handler cannot have."""
    if not QUEUE_NAME.fullmatch(name) or name in RESERVED_QUEUES:
        reserved = ", ".join(sorted(RESERVED_QUEUES))
        raise errors.DeclarationError(
            f"queue={name!r}: lower-case letters, digits, `_` and `-` are wanted, and none of {reserved}"
        )


def work_queue(name: str) -> Queue:
    """The work queue of that name: ``events``, ``periodic``, or one that a handler names."""
    if name == EVENTS_QUEUE:
        return Queue(name, EVENTS, "event.#", WORK_ARGUMENTS)
    if name == PERIODIC_QUEUE:
        return Queue(name, PERIODIC, "tick.#", WORK_ARGUMENTS)
    return Queue(name, EVENTS, f"{name}.#", WORK_ARGUMENTS)


def parallel(name: str) -> str:
    """The queue that takes what is published while the queue of that name is made anew. No handler can name it."""
    return f"{name}{PARALLEL}"


def may_be_ours(queue: str) -> bool:
    """Whether a queue may have that name, in whatever version of the code."""
    return QUEUE_NAME.fullmatch(queue.removesuffix(PARALLEL)) is not None


def queues(named: frozenset[str] = frozenset()) -> list[Queue]:
    """All queues; ``named`` are those that handlers ask for by ``queue=``."""
    work = [work_queue(n) for n in sorted({EVENTS_QUEUE, PERIODIC_QUEUE} | named)]
    return [*work, Queue(DEAD_QUEUE, DEAD, "#", DEAD_ARGUMENTS)]


def event_route(type_name: str, queue: str) -> tuple[str, str]:
    """(exchange, routing key) for a ticket of ``type_name`` that belongs into ``queue``."""
    prefix = "event" if queue == EVENTS_QUEUE else queue
    return EVENTS, f"{prefix}.{type_name}"


def tick_route(schedule: str) -> tuple[str, str]:
    """(exchange, routing key) for the ticket of a tick."""
    return PERIODIC, f"tick.{schedule}"
