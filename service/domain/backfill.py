"""Backfills: planned instants that became no event, and the slots in whose ``missed`` they are counted until then."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence

from service.domain.slots import Outcome


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """A slot that is there."""

    due_at: datetime.datetime
    outcome: Outcome
    missed: int

    @property
    def is_taken(self) -> bool:
        """Whether its instant is an event, or will be one."""
        return self.outcome is not Outcome.SKIPPED

    @property
    def counts(self) -> bool:
        """Whether the instants that are missing before it are in its ``missed``, if they are in any."""
        return self.outcome is not Outcome.RUN_NOW and (self.outcome is not Outcome.BACKFILLED or self.missed > 0)


@dataclasses.dataclass(frozen=True, slots=True)
class Backfill:
    """What came, or would come, of a backfill."""

    dry_run: bool
    instants: int  #: of the plan in the interval, as far as they were looked at
    present: int  #: were events before
    backfilled: int  #: are events now
    more: bool  #: there are more instants than the limit
    first: datetime.datetime | None  #: of those that are events now
    last: datetime.datetime | None


def counted(
    planned: Sequence[datetime.datetime], known: Sequence[Known], following: Known | None = None
) -> dict[datetime.datetime, datetime.datetime]:
    """Of planned instants without a slot, the instant of the slot that has each in its ``missed``.

    ``planned``: in order, without a gap; ``known``: the slots from the first of them to the last; ``following``: the
    first slot behind them that counts, with as many ``missed`` as may lie among them. A slot's ``missed`` are the
    nearest instants before it that have none. One at an instant of another plan counts none of this plan's.
    """
    slots, instants = {one.due_at: one for one in known}, set(planned)
    found: dict[datetime.datetime, datetime.datetime] = {}
    counting, left = following, 0 if following is None else following.missed
    for due_at in sorted(instants | slots.keys(), reverse=True):
        slot = slots.get(due_at)
        if slot is not None:
            if slot.counts:
                counting, left = slot, slot.missed if due_at in instants else 0
        elif counting is not None and left > 0:
            found[due_at] = counting.due_at
            left -= 1
    return found
