"""Since when types may go on after a pause, as one process knows it: what an operator had wait was not late.

Only who has waited for long is asked about, and not more than once a second: the road at its usual pace pays nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

LONG = 1.0  #: seconds
BELIEVED = 1.0  #: seconds

SINCE = "select extract(epoch from clock_timestamp() - resumed_at)::float8 from millrace.types where name = %s"


class Resumed:
    """What is known of the types of one process."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, float]] = {}  # Type → when it was asked, since when; by time.monotonic().

    def waited(self, run: Callable[[str, Any], Any], type_name: str, seconds: Sequence[float]) -> list[float]:
        """For how long each has waited that could go on; ``seconds``: since each was due. ``run`` asks the ledger."""
        if max(seconds, default=0.0) < LONG:
            return list(seconds)
        now = time.monotonic()
        asked, since = self._known.get(type_name, (float("-inf"), 0.0))
        if now - asked > BELIEVED:
            found = run(SINCE, (type_name,)).scalar()
            since = float("-inf") if found is None else now - found
            self._known[type_name] = now, since
        return [min(one, max(0.0, now - since)) for one in seconds]
