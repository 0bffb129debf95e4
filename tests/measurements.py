"""Results of the benchmark, made up: what tests of its tables, pages and comparisons begin with."""

from __future__ import annotations

import dataclasses

from bench import shapes
from bench.contestant import Scale
from bench.figures import Figures
from bench.results import Entrant, Measurement, Result, Section
from bench.shapes import Shape


def figures(**changes: object) -> Figures:
    """The figures of a round."""
    plain = Figures(
        accepted_per_s=3000.0,
        committed_per_s=2900.0,
        p50_ms=9.7,
        p99_ms=23.0,
        max_ms=40.0,
        worked_p50_ms=5.0,
        worked_p99_ms=30.0,
        cpu={"web": 0.3, "worker": 0.1, "broker": 0.1, "postgres": 0.1},
        generator=0.05,
        memory_mb=277.0,
        lost=0,
        wrong=0,
        refused=0,
        foreign=0.02,
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def ours(*rounds: Figures, name: str = "millrace") -> Result:
    """What was measured of Millrace."""
    return Result(name, False, list(rounds) or [figures(), figures()])


def peer(*rounds: Figures, name: str = "p2t") -> Result:
    """What was measured of a peer, which is slower."""
    return Result(name, True, list(rounds) or [figures(accepted_per_s=1000.0, committed_per_s=500.0, p99_ms=92.0)])


def section(*results: Result, shape: Shape | None = None, scale: Scale | None = None) -> Section:
    """One shape of load."""
    return Section(shape or shapes.single(2), scale or Scale(), list(results) or [ours(), peer()])


def measurement(*sections: Section, failure: str = "", profile: str = "full") -> Measurement:
    """A whole measurement of these sections."""
    found = list(sections) or [section()]
    results = {result.name: result for each in found for result in each.results}
    return Measurement(
        profile=profile,
        title="A test",
        taken_at="2026-11-20 20:15",
        command="python -m bench run",
        rounds=2,
        took=90.0,
        machine={"cores": "2"},
        versions={"PostgreSQL": "15.14", "Millrace": "abc1234"},
        contestants=[
            Entrant(
                each.name,
                f"The {each.name} of this test",
                each.peer,
                [f"serve {each.name}"],
                {"celery": "5.7.0"},
                failure,
            )
            for each in results.values()
        ],
        sections=found,
    )
