"""The audit log as a chain: the hash of each row covers the row and the hash of the one before.

So a row that was changed, taken away or put in breaks it there. Whoever can write the table and knows this file could
make the whole chain anew: its end (number and hash) is in the log of the process that wrote it, and wherever that goes.
"""

from __future__ import annotations

import contextvars
import dataclasses
import datetime
import hashlib
import json
from collections.abc import Iterable, Iterator

FIRST = "0" * 64  #: in the place of a hash before the first row


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A row of the log."""

    n: int  #: 1, 2, 3, …
    at: datetime.datetime  #: by the ledger's clock
    actor: str | None  #: who
    act: str  #: did what: ``event.cancelled``
    target: str | None  #: to what: an event's id, a type, a schedule, a key
    detail: str  #: what more there is to know, as JSON text
    request_id: str | None
    address: str | None  #: whence
    previous: str  #: the hash of the row before
    hash: str = ""

    def computed(self) -> str:
        """The hash that this row must have: SHA-256, in hexadecimal."""
        at = self.at.astimezone(datetime.UTC).isoformat(timespec="microseconds")
        parts = [self.n, at, self.actor, self.act, self.target, self.detail, self.request_id, self.address]
        return hashlib.sha256(f"{self.previous}{json.dumps(parts)}".encode()).hexdigest()


@dataclasses.dataclass(frozen=True, slots=True)
class Break:
    """Where the chain does not hold."""

    n: int
    what: str


def breaks(entries: Iterable[Entry], end: tuple[int, str]) -> Iterator[Break]:
    """Where the chain does not hold: entries in order, and (n, hash) of its end as it is kept beside them."""
    n, hash = 0, FIRST
    for entry in entries:
        if entry.n > n + 1:
            missing = f"rows {n + 1} to {entry.n - 1} are" if entry.n > n + 2 else f"row {n + 1} is"
            yield Break(n + 1, f"{missing} missing")
        elif entry.previous != hash:
            yield Break(entry.n, f"row {entry.n} does not follow row {n}: one of them was put in or written anew")
        if entry.computed() != entry.hash:
            yield Break(entry.n, f"row {entry.n} was changed: {entry.act} of {entry.target} by {entry.actor}")
        n, hash = entry.n, entry.hash
    if n < end[0]:
        missing = f"rows {n + 1} to {end[0]} are" if end[0] > n + 1 else f"row {n + 1} is"
        yield Break(n + 1, f"{missing} missing: the chain goes on to row {end[0]}")
    elif (n, hash) != end:
        yield Break(n, f"row {n} is not the end of the chain, which is row {end[0]} with another hash")


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """Where an act comes from."""

    request_id: str | None = None
    address: str | None = None
    because: str | None = None  #: why it is done, as far as it was said


_NOWHERE = Origin()
_origin: contextvars.ContextVar[Origin] = contextvars.ContextVar("millrace.origin")


def origin() -> Origin:
    """Where what is done now comes from."""
    return _origin.get(_NOWHERE)


def begin(request_id: str | None, address: str | None) -> None:
    """Note where what this thread does from now on comes from."""
    _origin.set(Origin(request_id, address))


def explain(because: str | None) -> None:
    """Note why it is done."""
    _origin.set(dataclasses.replace(origin(), because=because))
