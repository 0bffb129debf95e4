"""What a clock looks at for metrics. Every clock looks for itself: with any one of them alive, everything is seen."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from service import signals
from service.domain.keeping import Kept
from service.ledger.watching import LedgerWatch

EVERY = 5.0  #: seconds between rounds
SHARE = 0.02  #: of its time that a clock spends on one look: what takes long is not looked at again so soon
LONGEST = 60.0  #: seconds between two looks, however long one takes: what is older than some minutes is not shown

#: Words of tallies that end an event.
ENDINGS = ("done", "dead", "cancelled", "expired")


class Unhurried:
    """A look that is left out while it would take more than its share of time.

    Only one that has succeeded is rested on: after a fault the duty itself says when it is tried again.
    """

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._not_before = 0.0  # By time.monotonic().

    def __call__(self) -> bool:
        """Look, unless the last look was too long and too short a while ago: whether that was done."""
        begin = time.monotonic()
        if begin < self._not_before:
            return False
        self._look()
        now = time.monotonic()
        self._not_before = now + min(LONGEST, (now - begin) / SHARE) - EVERY
        return True


def looks(ledger: LedgerWatch, kept: Callable[[], Kept]) -> dict[str, Callable[[], bool]]:
    """The looks by the names of their duties. Each raises LedgerUnavailable."""

    def tickets() -> None:
        counted = ledger.count_tickets()
        signals.tickets_counted.send(None, **counted._asdict())

    def waiting() -> None:
        signals.waiting_seen.send(None, waits=ledger.oldest_waiting())

    def tallies() -> None:
        sums = ledger.read_tallies()
        signals.tallies_read.send(None, sums=sums, opened=_opened(sums))

    def letters() -> None:
        found = ledger.read_letters()
        signals.letters_read.send(None, new=found.new, unreplayed=found.unreplayed, oldest=found.oldest)

    def balance() -> None:
        lost, checked = ledger.check_tickets()
        signals.balance_seen.send(None, without_ticket=lost, checked=checked, partitions=ledger.partitions_ahead())

    def past() -> None:
        signals.past_seen.send(None, kept=kept())

    return {f"watch_{look.__name__}": Unhurried(look) for look in (tickets, waiting, tallies, letters, balance, past)}


def _opened(sums: dict[tuple[str, str], int]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for (type_name, word), n in sums.items():
        found[type_name] += n if word == "accepted" else -n if word in ENDINGS else 0
    return dict(found)
