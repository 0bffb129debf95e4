"""The benchmark's model of cost: which bound it finds, and how far it is off on rates that follow the law."""

from __future__ import annotations

import pytest

from bench.model import Point, predict


def point(number: int, rate: float, *, worker: float = 0.001, web: float = 0.0002) -> Point:
    return Point(number, "worker", {"web": 1, "worker": number}, rate, {"web": web, "worker": worker}, 0.0)


def test_doubles_while_the_multiplied_processes_are_what_is_busy() -> None:
    found = predict([point(1, 900.0)], 2, cores=16)
    assert (found.rate, found.limit) == (pytest.approx(1800.0), "the worker processes")


def test_stops_where_the_other_processes_are_busy_all_the_time() -> None:
    found = predict([point(1, 900.0, web=0.001)], 2, cores=16)
    assert (found.rate, found.limit) == (pytest.approx(950.0), "the web processes")


def test_stops_where_the_cores_are() -> None:
    found = predict([point(1, 900.0), point(2, 1500.0)], 4, cores=2)
    assert (found.rate, found.limit) == (pytest.approx(1500), "the cores of the machine")


def test_lets_a_cost_grow_with_each_process_as_it_grew_with_the_one_before() -> None:
    found = predict([point(1, 900.0, worker=0.0010), point(2, 1700.0, worker=0.0011)], 4, cores=16)
    assert found.demand == pytest.approx(0.0015)
    assert found.rate == pytest.approx(4 * (1700 * 0.0011 / 2) / 0.0013)
    assert found.limit == "the worker processes"


def test_counts_on_no_cost_that_shrinks() -> None:
    found = predict([point(1, 900.0, worker=0.0011), point(2, 1700.0, worker=0.0010)], 4, cores=16)
    assert found.demand == pytest.approx(0.0012)


def test_gains_no_more_than_the_step_before() -> None:
    found = predict([point(1, 500.0), point(2, 600.0)], 4, cores=16)
    assert (found.rate, found.limit) == (pytest.approx(720.0), "what the step before gained")
