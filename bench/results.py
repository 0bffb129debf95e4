"""A measurement as it is kept: sections, one per shape of load, with the rounds of each contestant.

It is written as JSON, medians and ratios beside the rounds they come from, and read back from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.contestant import Scale
from bench.figures import Figures, median, ratios
from bench.shapes import Shape


@dataclass(frozen=True)
class Entrant:
    """A contestant, with all that is needed to repeat its part."""

    name: str
    title: str
    peer: bool
    #: Its commands as they are typed, and the packages that matter with their versions.
    commands: Sequence[str]
    packages: Mapping[str, str]
    #: Why rounds are missing; empty if none is.
    failure: str = ""


@dataclass(frozen=True)
class Result:
    """One contestant's rounds under one shape of load."""

    name: str
    peer: bool
    rounds: Sequence[Figures]

    @property
    def figures(self) -> Figures:
        """The medians over its rounds."""
        return median(self.rounds)


@dataclass(frozen=True)
class Section:
    """One shape of load, and what came of it."""

    shape: Shape
    scale: Scale
    #: Those that finished a round, in the order of the catalogue.
    results: Sequence[Result]

    @property
    def key(self) -> str:
        """How it is found again in a result of another day."""
        return self.shape.key

    @property
    def peers(self) -> list[Result]:
        """The peers that something was measured against."""
        ours = [result for result in self.results if not result.peer]
        return [result for result in self.results if result.peer and ours]

    def result(self, name: str) -> Result | None:
        """That of this contestant, if it finished a round."""
        return next((result for result in self.results if result.name == name), None)

    def pairs(self) -> list[tuple[Result, Result]]:
        """Each of ours with each peer."""
        ours = [result for result in self.results if not result.peer]
        return [(one, peer) for peer in self.peers for one in ours]


@dataclass(frozen=True)
class Measurement:
    """Everything that one run of a profile has found."""

    profile: str
    title: str
    #: Local time at the start, as ``2026-11-20 20:15``.
    taken_at: str
    #: The command that repeats it.
    command: str
    rounds: int
    #: How long it took, seconds.
    took: float
    #: What the machine is, by label.
    machine: Mapping[str, str]
    #: Versions of Python, the servers and Millrace, by label.
    versions: Mapping[str, str]
    contestants: Sequence[Entrant]
    sections: Sequence[Section]

    @property
    def sound(self) -> bool:
        """Whether every round was run, and nothing was lost or wrong."""
        return (
            bool(self.sections)
            and not any(each.failure for each in self.contestants)
            and not any(
                result.figures.lost + result.figures.wrong for section in self.sections for result in section.results
            )
        )

    def section(self, key: str) -> Section | None:
        """The section of that key, if there is one."""
        return next((section for section in self.sections if section.key == key), None)

    def document(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        plain = dataclasses.asdict(self)
        for section, entry in zip(self.sections, plain["sections"], strict=True):
            for result, found in zip(section.results, entry["results"], strict=True):
                found["median"] = dataclasses.asdict(result.figures)
            entry["ratios"] = {
                f"{ours.name} to {peer.name}": dataclasses.asdict(ratios(ours.figures, peer.figures))
                for ours, peer in section.pairs()
            }
        return plain


def from_document(document: Mapping[str, Any]) -> Measurement:
    """Read back what :meth:`Measurement.document` wrote; medians and ratios are computed again."""
    found: Measurement = _of(
        Measurement,
        document,
        contestants=[_of(Entrant, entry) for entry in document["contestants"]],
        sections=[_section(entry) for entry in document["sections"]],
    )
    return found


def _section(entry: Mapping[str, Any]) -> Section:
    results = [
        _of(Result, found, rounds=[Figures(**figures) for figures in found["rounds"]]) for found in entry["results"]
    ]
    return Section(shape=Shape(**entry["shape"]), scale=Scale(**entry["scale"]), results=results)


def _of(kind: Any, entry: Mapping[str, Any], **read: Any) -> Any:
    names = {field.name for field in dataclasses.fields(kind)} - read.keys()
    return kind(**{name: entry[name] for name in names}, **read)
