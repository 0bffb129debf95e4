"""/tmp is full, and the root is read-only: nothing of Millrace needs either (P1)."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest

from tests import processes
from tests.faults.checker import Trial
from tests.faults.disks import needs_root
from tests.road import Road

pytestmark = [pytest.mark.heavy, needs_root]


@pytest.mark.fault(54)
def test_all_start_and_work_where_nothing_can_be_written(
    make_road: Callable[..., Road], tmp_path: pathlib.Path, trial: Trial
) -> None:
    road = make_road(soft_limit="20", hard_limit="30")
    road.before = ("tests.faults.apart", "full", str(processes.ROOT), str(tmp_path), "-m")
    door = road.web()
    worker = road.worker()
    road.clock()
    assert_nothing_can_be_written(worker.pid)
    with trial(road, door) as load:
        load.wait_for_accepted(200)
        failing = [a.id for a in door.post_all("ledger.step", [{"do": "fail", "times": 1}] * 10)]
    road.assert_worked_once(failing)


def assert_nothing_can_be_written(pid: int) -> None:
    """Where this process is, that is."""
    for folder in ("tmp", "var", "etc"):
        with pytest.raises(OSError, match=r"No space left|Read-only"):
            pathlib.Path(f"/proc/{pid}/root/{folder}/millrace-was-here").write_bytes(bytes(8_192))
