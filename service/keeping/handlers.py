"""A handler for each duty: while its event is open, it asks the clocks; it ends when one of them has done it."""

from __future__ import annotations

from typing import Any

from service.application.context import Context
from service.domain import ids, keeping
from service.domain.outcome import Discard, Snooze
from service.ledger import asking
from workers import handler

SOON, LATE = 4.0, 60.0  #: seconds until the next look: shortest, longest; clocks look every two
GIVEN_UP = 12 * 3600  #: seconds after which no clock is waited for


def ask(payload: Any, ctx: Context) -> Any:
    """Wait until the clocks have done it; the event's result is what came of it."""
    duty = keeping.DUTIES[ctx.event.type]
    done, waited = asking.look(ctx.session, duty, ids.instant(ctx.event.id))
    if done is not None:
        return done
    if waited > GIVEN_UP:
        return Discard(f"no clock has done {duty} in {GIVEN_UP // 3600} hours: see its log, and the duty's metrics")
    return Snooze(seconds=min(LATE, max(SOON, waited / 2)))


for type_name in keeping.DUTIES:
    handler(type_name, bundle=1, attempts=3)(ask)
