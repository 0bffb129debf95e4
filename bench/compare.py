"""What was lost against a kept result, in ratios: two days on one machine differ, ratios within a run hardly do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.figures import Ratios, ratios
from bench.results import Measurement, Result, Section

#: A ratio that fell by more than this share is told.
LIMIT = 0.10

_NAMES = {
    "accepted": "accepted per second",
    "committed": "committed per second",
    "p99": "p99 of the answer",
    "worked": "p99 from answer to commit",
    "cpu": "CPU",
    "memory": "memory",
}
#: Of a steady flow the rates say nothing; of all that is taken as fast as it comes, the time up to the commit.
_PACED = ("p99", "worked", "cpu", "memory")
_CLOSED = ("accepted", "committed", "p99", "cpu", "memory")


@dataclass(frozen=True)
class Loss:
    """One ratio that became worse."""

    section: str
    ours: str
    peer: str
    figure: str
    before: float
    now: float
    #: The same ratio in each round of now, lowest and highest.
    lowest: float
    highest: float

    def __str__(self) -> str:
        doubt = " The rounds of now include the kept ratio: measure again." if self.highest >= self.before else ""
        return (
            f"{self.section}: {_NAMES[self.figure]} of {self.ours} against {self.peer} was {self.before:.2f}x and is"
            f" {self.now:.2f}x, {1 - self.now / self.before:.0%} less ({self.lowest:.2f} to {self.highest:.2f} in its"
            f" rounds).{doubt}"
        )


def losses(now: Measurement, before: Measurement) -> list[Loss]:
    """The ratios of both measurements that have fallen by more than the limit."""
    found = []
    for section in now.sections:
        kept = before.section(section.key)
        if kept:
            found += list(_losses(section, kept))
    return found


def compared(now: Measurement, before: Measurement) -> int:
    """How many pairs both measurements know."""
    return sum(
        len(_names(section) & _names(kept))
        for section in now.sections
        if (kept := before.section(section.key)) is not None
    )


def doubts(now: Measurement, before: Measurement) -> list[str]:
    """Why the two should be compared with care."""
    changed = [name for name in now.machine if before.machine.get(name, now.machine[name]) != now.machine[name]]
    if not changed:
        return []
    return [f"The kept result is from another machine ({', '.join(changed)} differ); ratios move with it."]


def _names(section: Section) -> set[tuple[str, str]]:
    return {(ours.name, peer.name) for ours, peer in section.pairs()}


def _losses(section: Section, kept: Section) -> Iterator[Loss]:
    before = {(ours.name, peer.name): ratios(ours.figures, peer.figures) for ours, peer in kept.pairs()}
    for ours, peer in section.pairs():
        if (ours.name, peer.name) in before:
            yield from _fallen(section, ours, peer, before[ours.name, peer.name])


def _fallen(section: Section, ours: Result, peer: Result, before: Ratios) -> Iterator[Loss]:
    now = ratios(ours.figures, peer.figures)
    rounds = [ratios(one, other) for one, other in zip(ours.rounds, peer.rounds, strict=False)]
    for figure in _PACED if section.shape.paced else _CLOSED:
        was, is_ = getattr(before, figure), getattr(now, figure)
        if was > 0 and is_ < was * (1 - LIMIT):
            each = [getattr(found, figure) for found in rounds]
            yield Loss(section.shape.title, ours.name, peer.name, figure, was, is_, min(each), max(each))


def words(now: Measurement, before: Measurement | None) -> list[str]:
    """The comparison in sentences; the last one is the verdict."""
    if before is None:
        return ["No kept result to compare with: KEEP=yes keeps this one."]
    if not compared(now, before):
        return [f"The kept result of {before.taken_at} measured none of this; nothing is compared."]
    lost = losses(now, before)
    verdict = f"Against the kept result of {before.taken_at} ({before.versions.get('Millrace', 'unknown')}): "
    verdict += (
        f"{len(lost)} ratios fell by more than {LIMIT:.0%}." if lost else f"no ratio fell by more than {LIMIT:.0%}."
    )
    return [*doubts(now, before), *(f"WARNING: {loss}" for loss in lost), verdict]
