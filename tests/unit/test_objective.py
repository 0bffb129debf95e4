"""Objectives: what a handler may promise, and the rules that come of it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from service.domain import errors, handlers
from service.domain.objective import STARTS, Objective
from service.telemetry import catalogue, objectives


@pytest.mark.parametrize(("text", "seconds"), [("5s", 5.0), ("500ms", 0.5), ("1m", 60.0), ("1h", 3600.0), (30, 30.0)])
def test_a_time_is_read_in_its_unit(text: str | float, seconds: float) -> None:
    assert Objective(start=text).seconds == seconds


@pytest.mark.parametrize(
    "wrong",
    [{"start": "7s"}, {"start": "soon"}, {"start": 0}, {"p": 1.0}, {"p": 0.0}, {"success": 1.2}, {"success": "0.9"}],
)
def test_what_cannot_be_measured_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.DeclarationError, match=next(iter(wrong))):
        Objective(**wrong)


def test_every_start_is_a_bound_of_the_histogram() -> None:
    (metric,) = [m for m in catalogue.CATALOGUE if m.name == "millrace_event_start_latency_seconds"]
    assert metric.buckets == STARTS


def test_rules_are_made_for_handlers_with_an_objective_alone() -> None:
    registry = handlers.Registry()
    registry.add(handlers.Handler("a.b", print))
    assert "alert" not in objectives.rules(registry)
    registry.add(handlers.Handler("c.d", print, objective=Objective(start="500ms", p=0.95, success=0.9999)))
    found = objectives.rules(registry)
    assert "a.b" not in found
    assert 'le="0.5"' in found
    assert "> 14.4 * 0.05 " in found
    assert "> 6 * 0.0001 " in found
    assert "0.9 and" not in found
    assert "more than 0.5 s after they were due; 5 % may be." in found


@pytest.mark.parametrize(("promised", "fast", "slower"), [
    (0.9, "0.9", "6 * 0.1"), (0.8, "0.9", "0.9"), (0.5, "0.9", "0.9"), (0.04, "0.96", "0.96"),
])  # fmt: skip
def test_a_modest_promise_wakes_somebody_too(promised: float, fast: str, slower: str) -> None:
    """Six times an allowance of a fifth is more than all: no share could ever be above it."""
    registry = handlers.Registry()
    registry.add(handlers.Handler("c.d", print, objective=Objective(p=promised, success=promised)))
    found = objectives.rules(registry)
    for record in ("start", "success"):
        for window, limit in {"1h": fast, "5m": fast, "6h": slower, "30m": slower}.items():
            name = f'millrace:objective_{record}_bad:ratio_rate{window}{{type="c.d"}}'
            assert re.search(re.escape(f"{name} > {limit}") + "( and|$)", found, re.MULTILINE), (name, limit)
