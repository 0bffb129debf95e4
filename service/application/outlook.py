"""What is told of an event at its acceptance: why it waits, and about when it should start.

Nothing is asked for it: it is decided by what the flush has brought along (``ports.Held``), so that a post pays a few
look-ups. ``explain`` looks at the event itself, and knows more.
"""

from __future__ import annotations

import datetime

from service.application import ports
from service.application.submission import Accepted
from service.domain import states

Outlook = tuple[states.Waiting, datetime.datetime | None]  #: why it waits; when it should start, None: nobody can say


def of(one: Accepted, queue: str, accepted_at: datetime.datetime, held: ports.Held, *, broker: bool | None) -> Outlook:
    """The outlook of an event that was just accepted for ``queue``.

    ``broker``: whether this process can reach the broker; None: it has not tried.
    """
    is_paused = one.type in held.paused or queue in held.queues
    if one.run_at is not None:
        return states.Waiting.SCHEDULED, None if is_paused else one.run_at
    if is_paused:
        return states.Waiting.PAUSED, None
    if one.type in held.types:
        reason, seconds = states.Waiting.HELD_BACK, held.waits.types.get(one.type)
    else:
        reason, seconds = states.Waiting.QUEUED, held.waits.queues.get(queue)
    if seconds is None or broker is False:
        return reason, None
    return reason, accepted_at + datetime.timedelta(seconds=seconds) if seconds else accepted_at
