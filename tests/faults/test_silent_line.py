"""The line between clocks and ledger falls silent: nothing arrives, and nobody says that it is broken (P5)."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from schedules import duty
from service.local.postgres import PostgresServer
from tests.faults.checker import NOW, assert_accounted
from tests.faults.proxy import Proxy
from tests.faults.test_clocks import wait_for_slots
from tests.faults.test_many_clocks import LATE
from tests.patience import PATIENCE, wait
from tests.road import Road

pytestmark = [pytest.mark.heavy, pytest.mark.fault(20), pytest.mark.fault(45)]

FIRED = "select count(*) from millrace.slots where fired_at > %s"


class TestSilence:
    """Two clocks, and no other way to the ledger."""

    @pytest.fixture(scope="class")
    @classmethod
    def line(cls, make_line: Callable[[int], Proxy], ledger_server: PostgresServer) -> Proxy:
        return make_line(ledger_server.port)

    @pytest.fixture(scope="class")
    @classmethod
    def road(cls, make_standing: Callable[..., Road], line: Proxy) -> Road:
        road = make_standing(apps="tests.apps.ticking_app")
        for _ in range(2):
            road.clock(database_url=line.instead_of(road.database))
        wait_for_slots(road, 2)
        return road

    @pytest.mark.parametrize("seconds", [6.0, duty.SILENT + 5.0], ids=["for a while", "until the clocks have hung up"])
    def test_slots_are_fired_when_the_line_carries_again(
        self, road: Road, line: Proxy, seconds: float, record_property: Callable[[str, object], None]
    ) -> None:
        since = road.one(NOW)
        with line.weather_of(lost=True):
            time.sleep(2)
            silent = road.one(NOW)
            time.sleep(seconds - 2)
            assert road.one(FIRED, silent) == 0, "the line is not the only one"
        back = road.one(NOW)
        wait(lambda: road.one(FIRED, back) > 0, 15, "a slot is fired again")
        took = (road.one("select min(fired_at) from millrace.slots where fired_at > %s", back) - back).total_seconds()
        record_property("seconds", round(took, 2))
        print(f"fired {took:.2f} s after the line carried again")  # noqa: T201
        assert took <= LATE * PATIENCE
        wait_for_slots(road, 2)
        assert_accounted(road, since)
