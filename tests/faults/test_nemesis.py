"""The random nemesis does what its seed says."""

from __future__ import annotations

import itertools
import pathlib

import pytest

from tests import servers
from tests.faults import nemesis
from tests.faults.stack import Stack

MINUTES = 0.5


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


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_half_a_minute_of_it_breaks_no_promise(tmp_path: pathlib.Path) -> None:
    servers.need_postgres()
    servers.need_rabbitmq()
    said: list[str] = []
    with Stack(tmp_path) as stack:
        nemesis.run(stack, seed=5, minutes=MINUTES, say=said.append)
    assert "All promises held" in said[-1], said
