"""What each alert is tried with: series that are well and then are not, when it must be quiet, when it must tell."""

from __future__ import annotations

from tests.monitoring.cases import access, broker, budgets, clocks, ledger, road, watch, workers
from tests.monitoring.cases.case import Case

CASES: tuple[Case, ...] = (
    *budgets.CASES,
    *road.CASES,
    *clocks.CASES,
    *workers.CASES,
    *broker.CASES,
    *ledger.CASES,
    *access.CASES,
    *watch.CASES,
)

__all__ = ["CASES", "Case"]
