"""A pod whose servers are away waits for them: no probe has it started again, and none calls it ready to work."""

from __future__ import annotations

import http.client
import json
import pathlib
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from service.local import ports
from tests.deploy import manifests
from tests.patience import wait
from tests.processes import Process
from tests.road import Road

#: Who fails these is started again.
DEADLY = ("startupProbe", "livenessProbe")


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Neither its ledger nor its broker is there."""
    folder: pathlib.Path = tmp_path_factory.mktemp("waiting")
    nobody = f"nobody:nothing@127.0.0.1:{ports.free()}"
    road = Road(f"postgresql://{nobody}/nothing", f"amqp://{nobody}/", folder)
    try:
        yield road.worker(ready=False, concurrency=1)
    finally:
        road.stop()


def asked(worker: Process, probe: dict[str, Any]) -> tuple[int, str]:
    """The code and the status that the page of a probe answers; 0 while nobody does."""
    assert probe["httpGet"]["port"] == "metrics"
    url = f"http://127.0.0.1:{worker.environment['MILLRACE_METRICS_PORT']}{probe['httpGet']['path']}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, json.load(answer)["status"]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["status"]
    except (OSError, http.client.HTTPException):
        return 0, ""


def test_a_worker_that_waits_for_its_servers_is_left_alone_and_is_not_ready(
    worker: Process, production: list[manifests.Manifest]
) -> None:
    workers = [
        container
        for workload in manifests.of_kind(production, "Deployment")
        for container in manifests.containers(workload)
        if "workers" in container["args"]
    ]
    assert len(workers) == 3
    wait(lambda: worker.text().count("Trying again") >= 2, 30, "it has tried to reach its broker")
    for container in workers:
        for name in DEADLY:
            assert asked(worker, container[name]) == (200, "starting"), name
        assert asked(worker, container["readinessProbe"]) == (503, "starting")
