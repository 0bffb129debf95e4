"""An objective: what a type promises to those who send its events. Metrics measure it, alerts watch over it."""

from __future__ import annotations

import dataclasses
import re

from service.domain import errors

#: Bounds of the histogram that starts are measured by, in seconds. An objective must be one of them to be exact.
STARTS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}  #: seconds


#: Beside the outcomes in tallies: handlers that were begun later than their type's objective allows.
LATE = "late"


@dataclasses.dataclass(frozen=True, slots=True)
class Objective:
    """Of all events, the share ``p`` is begun within ``start``, and the share ``success`` succeeds in the end.

    ``start``: seconds, or text like ``500ms``, ``5s``, ``1m``, from the event's acceptance, or from the instant that
    was asked for, to the start of its handler. Raises DeclarationError for a time that is not measured exactly, or for
    a share that is not between 0 and 1: an objective of 1 leaves no budget, and would be missed for ever.
    """

    start: float | str = 5.0
    p: float = 0.99
    success: float = 0.999

    def __post_init__(self) -> None:
        if self.seconds not in STARTS:
            known = ", ".join(f"{bound:g}" for bound in STARTS)
            raise errors.DeclarationError(f"Objective(start={self.start!r}): one of {known} seconds is wanted")
        for name in ("p", "success"):
            share = getattr(self, name)
            if not isinstance(share, float) or not 0 < share < 1:
                raise errors.DeclarationError(f"Objective({name}={share!r}): a share between 0 and 1 is wanted")

    @property
    def seconds(self) -> float:
        """``start`` in seconds; 0 for text that is no time."""
        if not isinstance(self.start, str):
            return float(self.start)
        found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|[smh])", self.start.strip())
        return float(found[1]) * UNITS[found[2]] if found else 0.0
