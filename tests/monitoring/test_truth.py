"""The truth test: every question of every panel and of every rule is asked, on a road under traffic and faults."""

from __future__ import annotations

import json
import math
import time
import urllib.parse
from collections.abc import Iterator

import pytest

from monitoring.grafana import boards, files, fill
from monitoring.grafana.model import Query
from tests import servers
from tests.monitoring import questions
from tests.monitoring.story import Story
from tests.patience import wait

INTERVAL, SPAN = "10s", "2m"

#: Questions that are answered by nothing here, and why.
EXCEPTIONS: dict[str, str] = {
    "MillraceQuorumDegraded: rabbitmq_unreachable_cluster_peers_count": "RabbitMQ has it since 3.11",
    "millrace-ingest: Issuer of tokens": "access is off",
    "millrace-ingest: Certificates": "nothing speaks TLS",
}

#: Alerts that the story gives a reason for, and the one that always fires.
PROVOKED = {"MillraceDeadLettersArrive", "MillraceStraysArrive", "MillraceWorkersDie", "MillraceWatchdog"}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A road on which everything has happened that a dashboard tells of."""
    servers.need_prometheus()
    servers.need_postgres()
    servers.need_rabbitmq()
    with Story(tmp_path_factory.mktemp("story"), pairs=False) as found:
        found.road.wait_for_consumers(1)
        with found.traffic(0.4):
            found.wrong()
            wait(lambda: _sum(found, 'millrace_events_finished_total{outcome="dead"}') >= 2, 40, "dead letters")
            wait(lambda: _sum(found, 'millrace_tickets_failed_total{outcome="worker_lost"}') >= 1, 40, "a lost worker")
            wait(lambda: _sum(found, 'millrace_messages_returned_total{owner="stray"}') >= 1, 40, "a stray")
            for recorded in ("objective_start_bad", "objective_success_bad"):
                wait(lambda name=recorded: found.prometheus.now(f"millrace:{name}:ratio_rate1h"), 40, recorded)
            wait(lambda: _sum(found, "millrace_canary_latency_seconds_count") >= 2, 40, "the canary")
            wait(lambda: _sum(found, 'ALERTS{alertname="MillraceDeadLettersArrive"}') >= 1, 40, "an alert")
            found.wait(6)  # For rates to have two scrapes of all of it.
            yield found


def _sum(story: Story, expr: str) -> float:
    found = story.prometheus.now(f"sum({expr})")
    return float(found[0]["value"][1]) if found else 0.0


def _panels() -> list[tuple[str, str, Query]]:
    return [(b.uid, p.title, q) for b in boards.BOARDS for p in b.panels for q in p.queries]


def test_every_question_of_every_panel_is_answered(story: Story) -> None:
    empty = []
    for uid, title, query in _panels():
        found = story.prometheus.now(fill.fill(query, interval=INTERVAL, span=SPAN))
        if not any(math.isfinite(float(series["value"][1])) for series in found):
            empty.append(f"{uid}: {title}: {query.expr}")
    assert [place for place in empty if place.rpartition(": ")[0] not in EXCEPTIONS] == []


def test_what_producers_did_wrong_is_counted(story: Story) -> None:
    for outcome in ("duplicate", "conflict", "invalid"):
        assert _sum(story, f'millrace_events_accepted_total{{outcome="{outcome}"}}') >= 1, outcome


def test_every_choice_above_a_dashboard_has_values(story: Story) -> None:
    for variable in {v for board in boards.BOARDS for v in board.variables}:
        found = story.prometheus.now(f"count by ({variable.source}) ({variable.metric})")
        assert [s["metric"][variable.source] for s in found if s["metric"].get(variable.source)], variable


def test_deploys_and_starts_are_marked(story: Story) -> None:
    document = json.loads((files.FOLDER / "millrace-overview.json").read_text())
    now = time.time()
    for mark in document["annotations"]["list"]:
        expr = fill.fill(Query(mark["expr"]), interval=INTERVAL, span=SPAN)
        found = story.prometheus.over(expr, now - 120, now, 1)
        assert {s["metric"].get("role", s["metric"].get("job")) for s in found} >= {"web"} or found, mark["name"]


def test_every_series_that_a_rule_asks_for_is_there(story: Story) -> None:
    """An alert that is quiet has no answer; but what it looks at must be there, or it would be quiet for ever."""
    missing = []
    for group in story.prometheus.rules():
        for rule in group["rules"]:
            assert rule["health"] == "ok", f"{rule['name']}: {rule.get('lastError')}"
            for selector in questions.selectors(rule["query"]):
                name = str(selector.name)
                if not story.prometheus.now(f"count({name})"):
                    missing.append(f"{rule['name']}: {name}")
    assert [place for place in missing if place not in EXCEPTIONS] == []


def test_no_password_is_in_a_log(story: Story) -> None:
    """On a road on which processes were lost, messages refused, and handlers failed."""
    secrets = {urllib.parse.urlsplit(url).password for url in (story.road.database, story.road.broker)} - {None}
    assert secrets
    for process in story.road.processes:
        assert process.text(), process.name
        for secret in secrets:
            assert str(secret) not in process.text(), process.name


def test_no_alert_fires_without_a_reason(story: Story) -> None:
    """What the story did is reason enough for some of them."""
    firing = {s["metric"]["alertname"] for s in story.prometheus.now('ALERTS{alertstate="firing"}')}
    assert firing - PROVOKED == set()
