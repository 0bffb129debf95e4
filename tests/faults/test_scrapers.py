"""Those who read the metrics of a process cannot hold it up, however slowly they do it (P1, P3)."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.conftest import MakeRoad
from tests.processes import Process
from tests.road import Road

MANY = 40  #: scrapers at once


@contextlib.contextmanager
def scraped_slowly(process: Process) -> Iterator[None]:
    """Some ask and never read, some never end their question, some say nothing at all."""
    address = re.search(r"Metrics are at http://([\d.]+):(\d+)/", process.text())
    assert address, process.tail()
    with contextlib.ExitStack() as stack:
        for number in range(MANY):
            one = socket.socket()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # What is answered must wait for its reader.
            one.settimeout(5)
            one.connect((address[1], int(address[2])))
            stack.enter_context(one)
            one.sendall((b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /metr", b"")[number % 3])
        yield


@pytest.mark.heavy
@pytest.mark.fault(58)
def test_forty_slow_scrapers_of_each_process_hold_up_nobody(make_road: MakeRoad, trial: Any) -> None:
    road: Road = make_road()
    worker, clock, door = road.worker(), road.clock(), road.web()
    clock.wait_for_text("Metrics are at")
    with trial(road, door) as load, contextlib.ExitStack() as stack:
        for process in (worker, clock, door.process):
            stack.enter_context(scraped_slowly(process))
        load.wait_for_accepted(200, 20)
        assert not load.refused()
