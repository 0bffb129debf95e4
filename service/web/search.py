"""The query of ``GET /v1/events``."""

from __future__ import annotations

import datetime
import typing
import uuid
from typing import Annotated, Any

import msgspec
from werkzeug import datastructures

from service.domain import event, states
from service.ledger import queries
from service.web import errors

TypeName = Annotated[str, msgspec.Meta(pattern=f"^{event.TYPE_PATTERN.pattern}$", max_length=event.TYPE_LENGTH)]
Producer = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f]{1,100}$")]
Moment = Annotated[datetime.datetime, msgspec.Meta(tz=True)]

EXPECTED = {
    "type": "an event type is wanted, like orders.created",
    "state": f"one of {', '.join(states.State)} is wanted",
    "producer": "1 to 100 printable characters are wanted",
    "since": "an instant with its zone is wanted (RFC 3339), like 2026-01-31T08:00:00Z",
    "until": "an instant with its zone is wanted (RFC 3339), like 2026-01-31T08:00:00Z",
    "cursor": "the next_cursor of the page before is wanted",
    "limit": "a number from 1 to 500 is wanted",
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


HINTS: dict[str, Any] = typing.get_type_hints(Search, include_extras=True)


def read(args: datastructures.MultiDict[str, str]) -> Search:
    """The search in a query; raises InvalidParameter that names every parameter with something wrong."""
    found: dict[str, Any] = {}
    faults: list[tuple[str, str]] = []
    for name, values in args.lists():
        if name not in HINTS:
            faults.append((name[:100], f"there is no such parameter; there are {', '.join(HINTS)}"))
        elif len(values) > 1:
            faults.append((name, "it is given more than once"))
        else:
            try:
                found[name] = _convert(values[0], HINTS[name])
            except (msgspec.ValidationError, OverflowError):
                faults.append((name, EXPECTED[name]))
    if faults:
        raise errors.InvalidParameter(faults)
    return Search(**found)


def _convert(text: str, wanted: Any) -> Any:
    if "datetime" in str(wanted):
        text = text.replace(" ", "+")  # What becomes of the plus of +01:00 when it is not escaped.
    return msgspec.convert(text, wanted, strict=False)
