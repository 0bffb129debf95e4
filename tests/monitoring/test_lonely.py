"""A worker and a clock that start while the broker is away: they are seen, and say what they miss."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import parser

from service.local import ports
from tests.patience import wait
from tests.processes import Process
from tests.road import Road

LIMIT = 77.0  #: seconds, of the setting: longer than any that a handler names

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def processes(shared_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Process]]:
    broker = f"amqp://nobody:nothing@127.0.0.1:{ports.free()}/"
    road = Road(shared_database, broker, tmp_path_factory.mktemp("lonely"), hard_limit=f"{LIMIT:g}")
    try:
        yield {"worker": road.worker(ready=False, concurrency=1), "clock": road.clock()}
    finally:
        road.stop()


def asked(process: Process, path: str) -> tuple[int, str]:
    """The answer of a process beside its work; 0 while there is none."""
    url = f"http://127.0.0.1:{process.environment['MILLRACE_METRICS_PORT']}{path}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""


@pytest.mark.parametrize("role", ["worker", "clock"])
def test_it_is_alive_and_says_that_the_broker_is_not(processes: dict[str, Process], role: str) -> None:
    """Else Prometheus would have somebody get up because no worker is alive, and say nothing of the broker."""

    def seen() -> dict[str, float]:
        families = parser.text_string_to_metric_families(asked(processes[role], "/metrics")[1])
        return {
            sample.name: sample.value
            for family in families
            for sample in family.samples
            if sample.name == "millrace_build_info" or sample.labels.get("peer") == "broker"
        }

    wait(lambda: seen() == {"millrace_build_info": 1, "millrace_connection_up": 0}, 30, f"the {role} says it")


def test_a_worker_says_for_how_long_a_ticket_may_take_at_the_most(processes: dict[str, Process]) -> None:
    """Of its handlers' own limits and the setting, the longest; of detached handlers none."""
    line = re.compile(r"^millrace_worker_hard_limit_seconds (\S+)$", re.MULTILINE)
    wait(lambda: line.search(asked(processes["worker"], "/metrics")[1]), 30, "it says so")
    found = line.findall(asked(processes["worker"], "/metrics")[1])
    assert list(map(float, found)) == [LIMIT]
