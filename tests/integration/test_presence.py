"""Webs, workers and clocks as real processes: each is seen, an idle one too, and one that is gone is seen no more."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import urllib.parse
from typing import Any

import pytest

from service.domain import processes
from tests.faults.proxy import UP, Cut, Proxy
from tests.patience import wait
from tests.road import Road

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


@pytest.mark.heavy
def test_processes_are_seen_though_idle_and_whichever_child_dies(
    empty_database: str, vhost: str, tmp_path: pathlib.Path
) -> None:
    with contextlib.ExitStack() as ending:
        road = Road(empty_database, vhost, tmp_path).prepare()
        ending.callback(road.stop)
        line = Proxy(urllib.parse.urlsplit(empty_database).port or 0).start()
        ending.callback(line.stop)
        door, worker = road.web(), road.worker(queues="events", database_url=line.instead_of(empty_database))
        clock = road.clock()

        def alive(kind: str) -> list[dict[str, Any]]:
            return [p for p in door.get(f"/v1/processes?kind={kind}").document["processes"] if p["alive"]]

        wait(lambda: all(alive(kind) for kind in processes.Kind), 30, "all of them are seen")
        wait(lambda: alive("worker")[0]["broker"], 30, "the worker has met its broker")
        [seen] = alive("worker")
        assert (seen["pid"], seen["queues"], seen["slots"], seen["broker"]) == (worker.pid, ["events"], 2, True)
        assert [p["pid"] for p in alive("clock")] == [clock.pid]
        assert alive("web")[0]["digest"] == seen["digest"]

        # No connection is kept for it.
        noting = "select count(*) from pg_stat_activity where application_name = 'millrace-notes'"
        wait(lambda: road.one(noting) == 0, 10, "the note is written")
        for child in worker.children():
            os.kill(child, signal.SIGKILL)
            after = road.one("select clock_timestamp()")
            wait(
                lambda at=after: road.one(f"select seen_at > '{at}' from millrace.processes where kind = 'worker'"),
                30,
                "another child notes the worker",
            )

        line.cut(Cut(UP, words=b"insert into millrace.processes", silent=True))
        wait(lambda: line.cuts, 30, "a note meets a ledger that says nothing more")
        after = road.one("select clock_timestamp()")
        noted = f"select seen_at > '{after}' from millrace.processes where kind = 'worker'"
        wait(lambda: road.one(noted), 40, "the worker is noted all the same")

        clock.kill()
        wait(lambda: not alive("clock"), processes.LIVE + 15, "the clock is not alive any more")
