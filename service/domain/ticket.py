"""A ticket: a promise to look again at some open events of one type."""

from __future__ import annotations

import dataclasses
import datetime
import re
import time
from collections.abc import Sequence
from typing import Any

from service.domain import errors

UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

#: The version of the message's form. A worker leaves any other version alone.
VERSION = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Ticket:
    """One ticket as it travels: it carries no payload, so that a lost, doubled or forged one does no harm."""

    id: str  #: the row in the ledger
    type: str  #: the event type, and the name of the Celery task
    event_ids: tuple[str, ...]
    exchange: str
    routing_key: str
    queue: str
    careful: bool = False  #: work it one event at a time, with the crash count
    at: float = 0.0  #: when it was published, seconds since the epoch by the ledger's clock

    def body(self) -> dict[str, Any]:
        """The only argument of the Celery task."""
        return {
            "v": VERSION,
            "ticket": self.id,
            "type": self.type,
            "queue": self.queue,
            "events": list(self.event_ids),
            "careful": self.careful,
            "at": round(self.at, 3),
        }


#: What a body has, no more and no less.
FIELDS = frozenset({"v", "ticket", "type", "queue", "events", "careful", "at"})


@dataclasses.dataclass(frozen=True, slots=True)
class Delivery:
    """A ticket as a worker received it, or several of one type that are worked together."""

    ticket: str
    type: str
    queue: str
    event_ids: tuple[str, ...]
    careful: bool  #: from the ticket, or because the broker delivers it again
    at: datetime.datetime
    counted: dict[str, int] = dataclasses.field(default_factory=dict)  #: crashes that it has counted, by event
    begun: dict[str, str] = dataclasses.field(default_factory=dict)  #: tickets of the runs that it began, by event
    joined: tuple[Delivery, ...] = ()  #: the tickets that were joined
    #: Monotonic time at which it was taken in hand; its time limits count from here, however often it is tried.
    since: float = dataclasses.field(default_factory=time.monotonic, compare=False)

    @property
    def parts(self) -> tuple[Delivery, ...]:
        """Each ticket by itself."""
        return self.joined or (self,)

    @property
    def ids(self) -> dict[str, str | int]:
        """What a log line about it names: the ticket, or all that were joined; its event, or how many there are."""
        several = len(self.event_ids) > 1
        return {
            **({"ticket_ids": " ".join(self.tickets)} if self.joined else {"ticket_id": self.ticket}),
            **({"events": len(self.event_ids)} if several else {"event_id": self.event_ids[0]}),
        }

    @property
    def tickets(self) -> list[str]:
        """The ids of all its tickets."""
        return [part.ticket for part in self.parts]


def join(deliveries: Sequence[Delivery]) -> Delivery:
    """One delivery of them all, which are of one type and queue."""
    if len(deliveries) == 1:
        return deliveries[0]
    event_ids = tuple(event_id for each in deliveries for event_id in each.event_ids)
    careful = any(each.careful for each in deliveries)
    return dataclasses.replace(deliveries[0], event_ids=event_ids, careful=careful, joined=tuple(deliveries))


def read(body: Any, *, redelivered: bool = False) -> Delivery:
    """The delivery in a message's argument; raises ForeignMessage for anything else."""
    try:
        if body["v"] != VERSION:
            raise errors.ForeignMessage(f"ticket version {body['v']!r} is not known here")
        if body.keys() != FIELDS or not isinstance(body["careful"], bool):
            raise errors.ForeignMessage("it has not the fields of a ticket")
        ids = body["events"]
        if not (isinstance(ids, list) and ids and all(isinstance(i, str) and UUID.fullmatch(i) for i in ids)):
            raise errors.ForeignMessage("events: a list of event ids is wanted")
        if not UUID.fullmatch(body["ticket"]):
            raise errors.ForeignMessage("ticket: an id is wanted")
        return Delivery(
            ticket=body["ticket"],
            type=str(body["type"]),
            queue=str(body["queue"]),
            event_ids=tuple(ids),
            careful=body["careful"] or redelivered,
            at=datetime.datetime.fromtimestamp(float(body["at"]), datetime.UTC),
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise errors.ForeignMessage(f"not a ticket: {error!r}") from error
