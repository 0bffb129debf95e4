"""Days that are over and one that is not, and a round of retention."""

from __future__ import annotations

import datetime

from service.ledger import engine as engines
from service.ledger import retention
from tests import days
from tests.ledgers import Ledger

KEEP = 30 * 86_400.0  #: seconds
OLD, OLDER, YOUNG = days.ago(40), days.ago(41), days.ago(29)


def clears(ledger: Ledger, *, keep: float = KEEP, by: str = "test") -> retention.Retention:
    return retention.Retention(engines.Engine(ledger.url), keep=keep, by=by)


def clear(ledger: Ledger) -> dict[datetime.date, str]:
    """One whole round: day → word."""
    found = clears(ledger)
    assert found.take(now=True)
    report = found.clear()
    found.done(report)
    return {day.day: day.word for day in report.days}


def count(ledger: Ledger, table: str) -> int:
    return int(ledger.sql(f"select count(*) from millrace.{table}")[0][0])
