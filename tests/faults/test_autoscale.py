"""Workers whose number of children follows what there is to do: Celery's ``--autoscale``."""

from __future__ import annotations

import pytest

from tests.road import Road

LONG = 5  #: seconds that an event takes, while which other children can begin


@pytest.mark.parametrize("limits", ["3,1", "3"])
def test_there_are_more_children_when_there_is_more_for_them(road: Road, limits: str) -> None:
    door = road.web()
    worker = road.worker("prefork", "--autoscale", limits, concurrency=1)
    for _ in range(3):
        door.post("ledger.alone", do="sleep", seconds=LONG)
    road.assert_worked_once(road.ids(), 10 * LONG)
    assert road.sql("select count(distinct pid) from effects") == [(3,)]
    worker.stop()
