"""The random nemesis does what its seed says."""

from __future__ import annotations

import itertools

from tests.faults import nemesis


def first(seed: int, number: int = 400) -> list[nemesis.Round]:
    """The beginning of what a seed stands for."""
    return list(itertools.islice(nemesis.rounds(seed), number))


def test_a_seed_stands_for_one_course_of_things() -> None:
    assert first(7) == first(7)
    assert first(7) != first(8)


def test_everything_that_can_be_done_is_done_in_time() -> None:
    deeds = {(d.victim, d.what) for found in first(1) for d in found.deeds}
    assert deeds == {(victim, what) for victim, things in nemesis.DEEDS.items() for what in things}


def test_nobody_is_the_victim_of_two_faults_at_once() -> None:
    for found in first(1):
        victims = [d.victim for d in found.deeds]
        assert len(victims) == len(set(victims))
