"""The steps that ``make bench-ledger`` measures can be done: it runs for half an hour, and seldom."""

from __future__ import annotations

from contextlib import closing

from bench import filling, looks


def test_each_step_can_be_done(empty_database: str) -> None:
    filling.fill(empty_database, 3_000, lambda _: None)
    done: list[str] = []
    with closing(looks.Road(empty_database)) as road:
        for step in road.steps():
            step.once()
            done.append(step.name)
    assert len(done) == len(set(done)) > 60
