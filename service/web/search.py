"""The queries: what is asked for after the question mark, checked."""

from __future__ import annotations

import datetime
import functools
import typing
import uuid
from typing import Annotated, Any, TypeVar

import msgspec
from werkzeug import datastructures

from service.domain import event, outcome, states
from service.ledger import queries
from service.web import errors

TypeName = Annotated[str, msgspec.Meta(pattern=f"^{event.TYPE_PATTERN.pattern}$", max_length=event.TYPE_LENGTH)]
Producer = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f]{1,100}$")]
Query = TypeVar("Query", bound=msgspec.Struct)

Moment = Annotated[datetime.datetime, msgspec.Meta(tz=True)]

#: What to say of each parameter, whichever query it is in. A query may say otherwise, in an ``EXPECTED`` of its own.
EXPECTED = {
    "type": "an event type is wanted, like orders.created",
    "state": f"one of {', '.join(states.State)} is wanted",
    "producer": "1 to 100 printable characters are wanted",
    "since": "an instant with its zone is wanted (RFC 3339), like 2026-01-31T08:00:00Z",
    "until": "an instant with its zone is wanted (RFC 3339), like 2026-01-31T08:00:00Z",
    "cursor": "the next_cursor of the page before is wanted",
    "limit": "a number from 1 to 500 is wanted (to 100000 for a cancel or a replay)",
    "reason": f"one of {', '.join(outcome.Reason)} is wanted",
    "replayed": "true or false is wanted",
    "dry_run": "true or false is wanted",
    "rate": "a number of events per second is wanted, from 0.001 to 10000",
}


class Search(msgspec.Struct, frozen=True):
    """What is asked for: events to which all of this applies."""

    type: TypeName | None = None
    state: states.State | None = None
    producer: Producer | None = None
    since: Moment | None = None  #: accepted at this instant or later
    until: Moment | None = None  #: accepted before this instant
    cursor: uuid.UUID | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50

    def filters(self) -> queries.Filters:
        """In the ledger's words."""
        return queries.Filters(
            type=self.type,
            state=self.state,
            producer=self.producer,
            since=self.since,
            until=self.until,
            before=None if self.cursor is None else str(self.cursor),
        )


@functools.cache
def _hints(wanted: type) -> dict[str, Any]:
    return typing.get_type_hints(wanted, include_extras=True)


def read(args: datastructures.MultiDict[str, str], wanted: type[Query]) -> Query:
    """What a query asks for; raises InvalidParameter that names every parameter with something wrong."""
    hints = {name: hint for name, hint in _hints(wanted).items() if name.islower()}
    found: dict[str, Any] = {}
    faults: list[tuple[str, str]] = []
    for name, values in args.lists():
        if name not in hints:
            faults.append((name[:100], f"there is no such parameter; there are {', '.join(hints)}"))
        elif len(values) > 1:
            faults.append((name, "it is given more than once"))
        else:
            try:
                found[name] = _convert(values[0], hints[name])
            except (msgspec.ValidationError, OverflowError):
                faults.append((name, getattr(wanted, "EXPECTED", {}).get(name) or EXPECTED[name]))
    if faults:
        raise errors.InvalidParameter(faults)
    return wanted(**found)


def _convert(text: str, wanted: Any) -> Any:
    if "datetime" in str(wanted):
        text = text.replace(" ", "+")  # What becomes of the plus of +01:00 when it is not escaped.
    return msgspec.convert(text, wanted, strict=False)
