"""Where logs are JSON, all that a worker and a clock say is: from their start to their end, whoever says it."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from service import bootstrap
from tests.patience import wait
from tests.processes import ROOT, Process
from tests.road import Road

WORKER = ("celery", "-A", "workers", "worker")
CLOCK = ("celery", "-A", "schedules", "beat", "--pidfile=")


@pytest.fixture(scope="module")
def road(
    shared_database: str, rabbitmq: Any, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Road]:
    """A worker and a clock, started as they are shipped, that have worked and were told to stop."""
    vhost = rabbitmq.add_vhost(f"output-{os.getpid()}")
    found = Road(
        shared_database,
        vhost,
        tmp_path_factory.mktemp("output"),
        apps="tests.apps.printing_app",
        log_format="json",
    ).prepare()
    try:
        found.run("worker", *WORKER)
        found.run("clock", *CLOCK)
        done = "select count(*) from millrace.events where state = 'succeeded' and type = 'prints.made'"
        wait(lambda: found.one(done) > 0, 40, "a tick was worked")
        for process in found.processes:
            process.ask_to_stop()
            assert process.wait_for_end() == 0
        yield found
    finally:
        found.stop()


def lines(process: Process) -> list[dict[str, Any]]:
    """All that it said, read by a machine."""
    return [json.loads(line) for line in process.text().splitlines()]


@pytest.mark.parametrize("place", [0, 1], ids=["worker", "clock"])
def test_every_line_is_json(road: Road, place: int) -> None:
    found = lines(road.processes[place])
    assert len(found) > 2
    assert all(line["time"] and line["action"] and line["role"] in ("worker", "clock") for line in found)
    assert "The app is imported" in [line["message"] for line in found]


def test_what_a_handler_prints_is_told_with_its_event(road: Road) -> None:
    found = [line for line in lines(road.processes[0]) if line.get("event_id")]
    said = {line["message"]: line["level"] for line in found if line["action"] == "printed"}
    assert said["Printed 7 {'password': ***}"] == "info"
    assert said["Complained"] == said["ValueError: caught"] == "warning"
    assert {"Written as bytes", "Without an end"} <= said.keys()
    [event] = road.sql("select id::text from millrace.events where type = 'prints.made' order by id limit 1")[0]
    assert event in {line["event_id"] for line in found}


def test_a_worker_says_that_it_was_told_to_stop(road: Road) -> None:
    assert "worker: Warm shutdown (MainProcess)" in [line["message"] for line in lines(road.processes[0])]


@pytest.mark.parametrize(
    ("words", "role", "given", "said"),
    [
        (WORKER, "worker", {"web_threads": "many"}, "MILLRACE_WEB_THREADS: "),
        (CLOCK, "clock", {"database_url": ""}, "MILLRACE_DATABASE_URL is not set"),
        (("service", "web"), "web", {"access": "on"}, "MILLRACE_ACCESS=on needs MILLRACE_ACCESS_SECRET (or _FILE): "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_one_that_cannot_start_says_why_in_json(
    words: tuple[str, ...], role: str, given: dict[str, str], said: str, tmp_path: pathlib.Path
) -> None:
    done, found = ended(words, tmp_path, **given)
    last = found[-1]
    assert done == bootstrap.MISCONFIGURED
    assert (last["action"], last["level"], last["role"]) == ("start.refused", "critical", role)
    assert last["message"].startswith(said)
    assert "***" not in last["message"]


def test_an_error_that_ends_a_process_is_json(tmp_path: pathlib.Path) -> None:
    done, found = ended((*CLOCK[:-1], f"--pidfile={tmp_path}/no/such/folder/pid"), tmp_path)
    assert done == 1
    assert (found[-1]["action"], found[-1]["error"], found[-1]["role"]) == ("process.ended", "LockFailed", "clock")
    assert "No such file or directory" in found[-1]["traceback"]


def ended(words: tuple[str, ...], folder: pathlib.Path, **given: str) -> tuple[int, list[dict[str, Any]]]:
    """How a process without servers ends, and all that it says."""
    nowhere = {"database_url": "postgresql://u:p@127.0.0.1:1/x", "broker_url": "amqp://u:p@127.0.0.1:1/x"}
    settings = {**nowhere, "log_format": "json", "allow_root": "1", **given}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    done = subprocess.run(
        [sys.executable, "-m", *words],
        env=kept | {f"MILLRACE_{name.upper()}": value for name, value in settings.items()} | {"PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in (done.stdout + done.stderr).splitlines()]
