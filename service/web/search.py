"""The queries: what is asked for after the question mark, checked."""

from __future__ import annotations

import datetime
import functools
import re
import typing
from collections.abc import Collection
from typing import Annotated, Any, TypeVar

import msgspec
from werkzeug import datastructures

from service.domain import event, outcome, states
from service.domain.access import Permission
from service.ledger import queries
from service.web import access, errors, timing

TypeName = Annotated[str, msgspec.Meta(pattern=f"^{event.TYPE_PATTERN.pattern}$", max_length=event.TYPE_LENGTH)]
Producer = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f]{1,100}$")]
#: What is looked for in payloads as JSON, a space after each colon and comma; the case of ASCII letters says nothing.
Text = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f]{1,200}$")]
Because = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f]{1,300}$")]
Query = TypeVar("Query", bound=msgspec.Struct)

NEWER = "newer."  #: before the id, in a cursor that leads to newer events
UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
Cursor = Annotated[str, msgspec.Meta(pattern=f"^({re.escape(NEWER)})?{UUID}$")]
Moment = Annotated[datetime.datetime, msgspec.Meta(tz=True)]

#: What to say of each parameter, whichever query it is in. A query may say otherwise, in an ``EXPECTED`` of its own.
EXPECTED = {
    "type": "an event type is wanted, like orders.created",
    "state": f"one of {', '.join(states.State)} is wanted",
    "producer": "1 to 100 printable characters are wanted",
    "since": "an instant with its zone is wanted (RFC 3339), like 2026-01-31T08:00:00Z",
    "until": "an instant with its zone is wanted (RFC 3339), like 2026-01-31T08:00:00Z",
    "cursor": "the next_cursor or the previous_cursor of another page is wanted",
    "text": "1 to 200 characters are wanted, and none that controls",
    "limit": "a number from 1 to 500 is wanted (to 100000 for a cancel, a replay or a discard)",
    "reason": f"one of {', '.join(outcome.Reason)} is wanted",
    "count": "true or false is wanted",
    "replayed": "true or false is wanted",
    "dry_run": "true or false is wanted",
    "all": "true or false is wanted",
    "discarded": "true or false is wanted",
    "because": "why it is done is wanted: 1 to 300 characters, and none that controls",
    "rate": "a number of events per second is wanted, from 0.001 to 10000",
}


class Why(msgspec.Struct, frozen=True):
    """What every act may be told: why it is done. It stands in the act's audit entry."""

    because: Because | None = None


class Search(msgspec.Struct, frozen=True):
    """What is asked for: events to which all of this applies."""

    type: TypeName | None = None
    state: states.State | None = None
    producer: Producer | None = None
    since: Moment | None = None  #: accepted at this instant or later
    until: Moment | None = None  #: accepted before this instant
    text: Text | None = None  #: somewhere in the payload; wants type and since too
    cursor: Cursor | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50
    count: bool = False  #: say how many there are, too

    def filters(self) -> queries.Filters:
        """In the ledger's words. Raises NotPermitted for a text in what who asks may not see, InvalidParameter for one
        that would be looked for everywhere.
        """
        if self.text is not None:
            access.require(Permission.REVEAL)  # Whoever may guess what a payload holds need not see it.
        if self.text is not None and (self.type is None or self.since is None):
            raise errors.InvalidParameter([("text", "type and since are wanted too: all payloads would be read")])
        newer, cursor = (self.cursor or "").startswith(NEWER), (self.cursor or "").removeprefix(NEWER).lower() or None
        return queries.Filters(
            type=self.type,
            state=self.state,
            producer=self.producer,
            since=self.since,
            until=self.until,
            before=None if cursor is None or newer else cursor,
            after=cursor if newer else None,
            text=self.text,
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
            faults.append((name[:100], f"there is no such parameter; there {_named(hints)}"))
        elif len(values) > 1:
            faults.append((name, "it is given more than once"))
        else:
            try:
                found[name] = _convert(values[0], hints[name])
            except (ValueError, OverflowError):
                faults.append((name, getattr(wanted, "EXPECTED", {}).get(name) or EXPECTED[name]))
    if faults:
        raise errors.InvalidParameter(faults)
    return wanted(**found)


def _named(names: Collection[str]) -> str:
    return f"are {', '.join(names)}" if names else "is none"


def _convert(text: str, wanted: Any) -> Any:
    if "datetime" in str(wanted):
        return timing.moment(text.replace(" ", "+"))  # What becomes of the plus of +01:00 when it is not escaped.
    return msgspec.convert(text, wanted, strict=False)
