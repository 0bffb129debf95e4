"""Error budgets: how much of what an objective allows to go wrong in thirty days has gone wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from service.domain import handlers, objective, words

#: What is counted of a type.
DONE, RETRY, SNOOZED, DEAD, EXPIRED = "done", "retry", "snoozed", "dead", "expired"


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """What is left of one of a type's error budgets."""

    type: str
    what: str  #: that was promised
    left: float  #: share of the budget; below 0: more was spent than there is
    kept: float  #: share of events of which it was kept
    promised: float
    counted: int  #: of how many that is the share
    counted_text: str  #: the same for people

    @property
    def tone(self) -> str:
        """How it looks."""
        return "good" if self.left > 0.5 else "warn" if self.left > 0 else "bad"

    @property
    def left_text(self) -> str:
        """What is left, for people."""
        return "overspent" if self.left < 0 else f"{round(self.left * 100)} % left"


def reckon(known: Iterable[handlers.Handler], counts: Mapping[tuple[str, str], int]) -> list[Budget]:
    """The budgets of the types whose handlers declare an objective, of success and of starts; the least is first.

    ``counts``: (type, word) → how many; words are outcomes, and ``late`` for handlers that were begun too late.
    """
    found = []
    for handler in known:
        if (promise := handler.objective) is None:
            continue
        each = (DONE, RETRY, SNOOZED, DEAD, EXPIRED, objective.LATE)
        done, retry, snoozed, dead, expired, late = (counts.get((handler.type, word), 0) for word in each)
        ended, begun = done + dead + expired, done + retry + snoozed + dead
        start = f"starts within {promise.seconds:g} s"
        told = f"{words.many(ended, 'event')} ended"
        found.append(_budget(handler.type, "succeeds", done, ended, promise.success, told))
        found.append(_budget(handler.type, start, begun - late, begun, promise.p, words.many(begun, "start")))
    return sorted(found, key=lambda budget: budget.left)


def _budget(type_name: str, what: str, good: int, of: int, promised: float, told: str) -> Budget:
    kept = good / of if of else 1.0
    return Budget(type_name, what, 1 - (1 - kept) / (1 - promised), kept, promised, of, told)
