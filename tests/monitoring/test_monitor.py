"""``make monitor``: everything on one machine, and each address that it prints answers."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest

from service.local import ports
from service.local.rabbitmq import RabbitNode
from tests import servers
from tests.patience import PATIENCE, wait
from tests.processes import ROOT, Process

ALONE = "with servers of its own"
JOBS = {"millrace-web", "millrace-worker", "millrace-clock", "rabbitmq", "rabbitmq-detailed"}
ADDRESS = re.compile(r"https?://[^\s,<]+")


@pytest.fixture(scope="module", params=["on servers that are there", pytest.param(ALONE, marks=pytest.mark.heavy)])
def monitor(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_database: str
) -> Iterator[Process]:
    """The command as the Makefile has it, in a folder of its own; it is ready."""
    servers.need_prometheus()
    servers.need_rabbitmq()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    settings = {
        "MILLRACE_APPS": "numbers_app",
        "MILLRACE_HTTP": f"{ports.LOOPBACK}:{ports.free()}",
        "MILLRACE_ALLOW_ROOT": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "examples/numbers")]),
    }
    if request.param != ALONE:  # Quicker; but a broker of others serves its metrics where it wants.
        node: RabbitNode = request.getfixturevalue("rabbitmq")
        settings |= {
            "MILLRACE_DATABASE_URL": shared_database,
            "MILLRACE_BROKER_URL": node.add_vhost(f"monitor-{os.getpid()}"),
        }
    found = Process("monitor", ["service", "monitor"], kept | settings, tmp_path_factory.mktemp("monitor"))
    try:
        found.wait_for_text("Ctrl-C stops everything", 90)
        yield found
    finally:
        found.stop()


def told(monitor: Process) -> dict[str, str]:
    """What was announced, by the first word of each line."""
    lines = monitor.text().partition("Millrace is ready on")[2].partition("Ctrl-C")[0].splitlines()[1:]
    words = [line.partition("|")[2].strip() for line in lines if line.startswith("millrace ")]
    return {line.partition(" ")[0]: line.partition(" ")[2].strip() for line in words if line}


def answer(url: str) -> tuple[int, str]:
    """Its status and its text."""
    with urllib.request.urlopen(url, timeout=20 * PATIENCE) as found:
        return found.status, found.read().decode(errors="replace")


def serves(url: str) -> bool:
    """Whether there are metrics of ours."""
    with contextlib.suppress(OSError):
        return "millrace_build_info" in answer(url)[1]
    return False


def test_every_address_that_is_printed_answers(monitor: Process, request: pytest.FixtureRequest) -> None:
    found = told(monitor)
    if ALONE not in request.node.name:
        found["RabbitMQ's"] = found["watch"]
    assert {"console", "metrics", "watch", "Alertmanager", "RabbitMQ's", "try"} <= found.keys(), monitor.text()
    for name in ("console", "watch", "Alertmanager", "RabbitMQ's"):
        urls = ADDRESS.findall(found[name])
        assert urls, found[name]
        for url in urls:
            assert answer(url.rstrip(";"))[0] == 200, url
    for role, port in re.findall(r"(\w+) :(\d+)", found["metrics"]):
        wait(lambda p=port: serves(f"http://{ports.LOOPBACK}:{p}/metrics"), 20, f"the {role} serves its metrics")


def test_what_it_says_to_try_is_accepted(monitor: Process) -> None:
    command = told(monitor)["try"].replace("curl ", "curl -s -o /dev/null -w '%{http_code}' ", 1)
    words, longest = ["/bin/sh", "-c", command], 30 * PATIENCE
    done = subprocess.run(words, capture_output=True, text=True, timeout=longest, check=False)
    assert done.stdout == "202", done


def test_prometheus_has_the_rules_and_every_target_and_alertmanager_beside_it(monitor: Process) -> None:
    prometheus = ADDRESS.findall(told(monitor)["watch"])[0]

    def targets() -> list[tuple[str, str]]:
        found = json.loads(answer(f"{prometheus}/api/v1/targets")[1])["data"]["activeTargets"]
        return [(target["labels"]["job"], target["scrapeUrl"]) for target in found]

    wait(lambda: {job for job, _ in targets()} == JOBS, 20, f"Prometheus knows the targets {sorted(JOBS)}")
    for job, url in targets():
        if job.startswith("millrace-"):
            wait(lambda u=url: serves(u), 20, f"{job} serves its metrics")
    groups = json.loads(answer(f"{prometheus}/api/v1/rules")[1])["data"]["groups"]
    assert {pathlib.PurePath(group["file"]).name for group in groups} == {
        path.name for path in (ROOT / "monitoring/prometheus/rules").glob("*.yml")
    }
    wanted = f"{ADDRESS.findall(told(monitor)['Alertmanager'])[0].rstrip(';')}/api/v2/alerts"

    def beside() -> list[str]:
        found = json.loads(answer(f"{prometheus}/api/v1/alertmanagers")[1])["data"]["activeAlertmanagers"]
        return [one["url"] for one in found]

    wait(lambda: beside() == [wanted], 20, "Prometheus has found its Alertmanager")
