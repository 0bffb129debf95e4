"""The truth test: every question of every panel and of every rule is asked, on a road under traffic and faults."""

from __future__ import annotations

import functools
import json
import math
import urllib.parse

from monitoring.grafana import boards, files, fill
from monitoring.grafana.model import Query
from service.telemetry import catalogue
from tests.monitoring import questions
from tests.monitoring.live.conftest import PROVOKED, Told
from tests.monitoring.story import EVERY, Story

INTERVAL, SPAN = f"{10 * EVERY}s", "3m"

#: Panels and series of rules that are answered by nothing here, and why.
EMPTY = {
    "millrace-ingest: Issuer of tokens": "access is off",
    "millrace-ingest: Certificates": "nothing speaks TLS",
}
MISSING = {
    "MillraceQuorumDegraded: rabbitmq_unreachable_cluster_peers_count{}": "RabbitMQ has it since 3.11",
    'MillraceAfterOutage: ALERTS{alertname=~"Millrace(No(Web|Clock|Workers)|Ledger(Away|Refuses)|Broker(Away|Alarm)'
    '|QueueWithoutConsumers)",alertstate="firing"}': "the outage is over, and the alert told of",
}


def _panels() -> list[tuple[str, str, Query]]:
    return [(b.uid, p.title, q) for b in boards.BOARDS for p in b.panels for q in p.queries]


def _words(story: Story, at: float) -> dict[str, str]:
    """What *All* means."""
    variables = {variable for board in boards.BOARDS for variable in board.variables}
    return fill.found(variables, functools.partial(story.prometheus.now, at=at))


def test_every_question_of_every_panel_is_answered(story: Story, told: Told) -> None:
    empty, words = [], _words(story, told.end)
    assert words["job"] == r"(millrace\\-clock|millrace\\-web|millrace\\-worker)"
    for uid, title, query in _panels():
        found = story.prometheus.now(fill.fill(query, words, interval=INTERVAL, span=SPAN), at=told.end)
        if not any(math.isfinite(float(series["value"][1])) for series in found):
            empty.append(f"{uid}: {title}: {query.expr}")
    assert [place for place in empty if not place.startswith(tuple(EMPTY))] == []


def test_what_producers_did_wrong_is_counted(story: Story, told: Told) -> None:
    for outcome in ("duplicate", "conflict", "invalid"):
        expr = f'millrace_events_accepted_total{{outcome="{outcome}"}}'
        assert story.prometheus.sum(expr, at=told.end) >= 1, outcome


def test_the_brokers_death_is_in_the_numbers(story: Story, told: Told) -> None:
    """Else a panel on it would be answered by a series that was never anything but 0."""
    between = f"[{math.ceil(told.end - told.calm)}s:1s]"
    for expr in (
        'min_over_time((max by (job) (millrace_connection_up{job="millrace-worker",peer="broker"}))%s)',
        'min_over_time((max by (job) (millrace_connection_up{job="millrace-clock",peer="broker"}))%s)',
        'min_over_time((max by (job) (up{job="rabbitmq"}))%s)',
    ):
        [series] = story.prometheus.now(expr % between, at=told.end)
        assert float(series["value"][1]) == 0, expr


def test_every_choice_above_a_dashboard_has_values(story: Story, told: Told) -> None:
    for variable in {v for board in boards.BOARDS for v in board.variables}:
        found = story.prometheus.now(f"count by ({variable.source}) ({variable.series})", at=told.end)
        assert [s["metric"][variable.source] for s in found if s["metric"].get(variable.source)], variable


def test_deploys_and_starts_of_every_role_are_marked(story: Story, told: Told) -> None:
    document = json.loads((files.FOLDER / "millrace-overview.json").read_text())
    words = _words(story, told.end)
    for mark in document["annotations"]["list"]:
        expr = fill.fill(Query(mark["expr"]), words, interval=INTERVAL, span=SPAN, step="1s")
        labels = [series["metric"] for series in story.prometheus.over(expr, told.begin, told.end, 1)]
        marked = {one.get("role") or one["job"].removeprefix("millrace-") for one in labels}
        assert marked == set(catalogue.ROLES), mark["name"]


def test_every_series_that_a_rule_asks_for_is_there(story: Story, told: Told) -> None:
    """An alert that is quiet has no answer; but what it looks at, matchers and all, must be there, or it would be quiet
    for ever."""
    missing = set()
    for group in story.prometheus.rules():
        for rule in group["rules"]:
            assert rule["health"] == "ok", f"{rule['name']}: {rule.get('lastError')}"
            for selector in questions.selectors(rule["query"]):
                if not story.prometheus.now(f"count({selector})", at=told.end):
                    missing.add(f"{rule['name']}: {selector}")
    assert missing == set(MISSING)


def test_a_trace_is_an_example_of_its_request_and_of_its_commit(story: Story, told: Told) -> None:
    for histogram in ("millrace_http_request_duration_seconds", "millrace_event_commit_latency_seconds"):
        found = story.prometheus.exemplars(f"{histogram}_bucket", told.begin, told.end)
        assert {"trace_id": told.trace} in found, histogram


def test_no_password_is_in_a_log(story: Story, told: Told) -> None:
    """On a road on which processes were lost, messages refused, and handlers failed."""
    secrets = {urllib.parse.urlsplit(url).password for url in (story.road.database, story.road.broker)} - {None}
    assert secrets
    for process in story.road.processes:
        assert process.text(), process.name
        for secret in secrets:
            assert str(secret) not in process.text(), process.name


def test_no_alert_fires_without_a_reason(story: Story, told: Told) -> None:
    """What the story did is reason enough for some of them. Most must last for longer than the story: so none is about
    to fire either."""
    found = story.prometheus.now("ALERTS", at=told.calm)
    assert {series["metric"]["alertname"] for series in found} - PROVOKED == set()
