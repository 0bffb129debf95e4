"""Faults of the ledger: told by their SQLSTATE, and passed on by a worker's child with its next report."""

from __future__ import annotations

import json

import pytest

from service import signals
from service.application.execute import Report
from service.domain import faults
from service.domain.faults import Fault
from service.ledger import engine as engines
from workers.presence import Presence


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("08006", Fault.CONNECTION),
        ("57P01", Fault.CONNECTION),
        ("53300", Fault.TOO_MANY_CONNECTIONS),
        ("53100", Fault.DISK_FULL),
        ("53200", Fault.RESOURCES),
        ("58030", Fault.RESOURCES),
        ("25006", Fault.READ_ONLY),
        ("40P01", Fault.DEADLOCK),
        ("40001", Fault.CONFLICT),
        ("55P03", Fault.LOCK),
        ("57014", Fault.TIMEOUT),
        ("23505", Fault.INTEGRITY),
        ("22P02", Fault.DATA),
        ("42601", Fault.OTHER),
        ("53400", Fault.OTHER),
    ],
)
def test_a_sqlstate_is_one_fault(code: str, fault: Fault) -> None:
    assert faults.of(code) is fault


def test_what_is_waited_out_is_a_fault_that_an_alert_asks_for() -> None:
    of_handlers = {Fault.LOCK, Fault.TIMEOUT, Fault.INTEGRITY, Fault.DATA, Fault.OTHER}
    for start in engines.INFRASTRUCTURE:
        assert faults.of(start.ljust(5, "0")) not in of_handlers, start


def test_a_child_passes_on_what_it_met_once() -> None:
    child = Presence()
    signals.ledger_failed.send(None, fault=Fault.DEADLOCK)
    assert child.take_faults() == {}, "a parent counts by itself"
    child.begin_child()
    signals.ledger_failed.send(None, fault=Fault.DEADLOCK)
    signals.ledger_failed.send(None, fault=Fault.DEADLOCK)
    report = Report("a.b", faults=child.take_faults())
    assert json.loads(repr(report))["faults"] == {"deadlock": 2}
    assert child.take_faults() == {}
    assert "faults" not in json.loads(repr(Report("a.b")))
