"""``Prefer: wait=N`` (RFC 7240, section 4.3): the answer may be kept back until the event has ended."""

from __future__ import annotations

import re

from service.web import road

LONGEST = 30  #: seconds that an answer is kept back at most
#: An item of the list; a comma in a quoted string ends none.
ITEM = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')


def seconds(given: str | None) -> int:
    """How long the client would wait; 0: not at all. What cannot be understood is ignored (section 2)."""
    for item in ITEM.findall(given or ""):
        name, _, value = item.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            # The first one counts when there are several (section 2).
            value = value.strip().strip('"')
            return min(LONGEST, int(value)) if re.fullmatch("[0-9]{1,9}", value) else 0
    return 0


def wait(event_id: str, given: str | None) -> bool | None:
    """Keep the answer back if that is preferred: whether the event has ended; None when nobody has waited."""
    longest = seconds(given)
    return road.current().watch.wait(event_id, longest) if longest else None
