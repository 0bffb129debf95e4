"""The doctor on a ledger that was damaged."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from service import doctor
from service.ledger import balance
from service.settings import Settings
from tests.answers import document
from tests.front import operator
from tests.ledgers import Ledger, all_out

pytestmark = pytest.mark.postgres


def examined(ledger: Ledger, folder: pathlib.Path, **given: Any) -> dict[str, doctor.Finding]:
    settings = Settings.model_construct(database_url=ledger.url, broker_url=f"filesystem://{folder}", **given)
    return {finding.name: finding for finding in doctor.examine(settings)}


def test_the_doctor_names_what_is_wrong_with_a_damaged_ledger(ledger: Ledger, tmp_path: pathlib.Path) -> None:
    lost = ledger.post("a.one", *range(7))
    ledger.post("a.many", 1)
    all_out(ledger)
    ledger.sql("delete from millrace.tickets where type = 'a.one'")
    ledger.sql("update millrace.tallies set n = n - 2 where type = 'a.one'")
    ledger.sql("update millrace.tallies set n = n + 2 where type = 'a.many'")
    found = balance.count(ledger.engine)
    assert (found.open, found.tallied) == (8, 8)  # In sum they agree.
    findings = examined(ledger, tmp_path)
    assert (findings["tickets"].ok, findings["tallies"].ok) == (False, False)
    assert "7 of them without a ticket" in findings["tickets"].detail
    assert [i in findings["tickets"].detail for i in sorted(lost)] == [True] * 5 + [False] * 2
    assert "a.one 5 against 7" in findings["tallies"].detail
    assert "a.many 3 against 1" in findings["tallies"].detail
    ledger.sql("update millrace.tallies set n = 7 where type = 'a.one'")
    ledger.sql("update millrace.tallies set n = 1 where type = 'a.many'")
    client = operator(ledger, "night-shift")
    for event_id in lost:  # The cure that the recipe names.
        document(client.post(f"/v1/events/{event_id}/cancel"))
    findings = examined(ledger, tmp_path)
    assert (findings["tickets"].ok, findings["tallies"].ok) == (True, True)


@pytest.mark.parametrize(
    ("given", "ok", "said"),
    [
        ({}, True, "is an admin"),
        ({"http": "0.0.0.0:5000"}, False, "set MILLRACE_ACCESS=on"),
        ({"access": "on"}, False, "openssl rand -hex 32"),
        ({"access": "on", "access_secret": ("s" * 32,)}, False, "millrace keys create"),
    ],
)
def test_the_doctor_says_who_is_let_in_and_what_keeps_the_door_shut(
    ledger: Ledger, tmp_path: pathlib.Path, given: dict[str, Any], ok: bool, said: str
) -> None:
    found = examined(ledger, tmp_path, **given)["access"]
    assert found.ok == ok
    assert said in found.detail
