"""The rules tell of what is wrong and of nothing else, and whoever is told finds out what to do."""

from __future__ import annotations

import json
import pathlib
import re
from typing import Any

import pytest

from monitoring.grafana import boards
from monitoring.grafana.write import DEPLOYS, STARTS
from service.local import monitoring
from service.telemetry import catalogue
from tests.monitoring import promtool, questions, rules
from tests.monitoring.cases import CASES

#: Metrics of RabbitMQ's own plugin that rules may name (3.10; the last one 3.11).
RABBITMQ = {
    "rabbitmq_alarms_memory_used_watermark",
    "rabbitmq_alarms_free_disk_space_watermark",
    "rabbitmq_alarms_file_descriptor_limit",
    "rabbitmq_process_resident_memory_bytes",
    "rabbitmq_resident_memory_limit_bytes",
    "rabbitmq_disk_space_available_bytes",
    "rabbitmq_disk_space_available_limit_bytes",
    "rabbitmq_detailed_queue_consumers",
    "rabbitmq_detailed_queue_messages_ready",
    "rabbitmq_global_messages_unroutable_returned_total",
    "rabbitmq_unreachable_cluster_peers_count",
}
#: What Prometheus itself or its client library makes.
COMMON = {"up", "scrape_duration_seconds", "process_start_time_seconds", "ALERTS"}
SECTIONS = ["Meaning", "Impact", "Checks", "Mitigation", "Causes"]  #: of a runbook
#: Alerts that cannot be quiet.
ALWAYS = {"MillraceWatchdog"}
#: Alerts of which no dashboard shows the metric, and why.
NOT_SHOWN = {
    "MillraceWatchdog": "it asks for nothing",
    "MillraceScrapeSlow": "Prometheus has it on its own page of targets",
    "MillraceAfterOutage": "it asks for other alerts",
    "MillraceQuorumDegraded": "RabbitMQ has it since 3.11, and the dashboards are for 3.10, too",
}


#: Alerts that a counter which stands still is the reason for; their cases have restarts of their own.
STANDSTILL = {"MillraceTicketsNotPublished", "MillraceCanaryAbsent"}


def restarts(names: set[str]) -> list[dict[str, Any]]:
    """For each alert that counts: its processes have counted for long, are started again, and nothing is wrong."""
    found = []
    for case in CASES:
        # Where none of them moves, something else is the reason.
        moves = {name for name, values in case.series.items() if "+" in values or " " in values}
        counts = [name for name in moves if re.match(r"\w+_(total|seconds_bucket|seconds_count)\b", name)]
        if case.alert not in names - STANDSTILL or not case.fires or not counts:
            continue
        story = {name: "900x20 0x40" if name in counts else values for name, values in case.series.items()}
        looks = [{"eval_time": at, "alertname": case.alert, "exp_alerts": []} for at in ("10m", "11m", "15m", "25m")]
        found.append(
            {
                "name": f"{case.alert}: quiet though its counters begin anew",
                "interval": "30s",
                "input_series": [{"series": name, "values": values} for name, values in story.items()],
                "alert_rule_test": looks,
            }
        )
    return found


@pytest.mark.parametrize("path", promtool.TOLD, ids=lambda path: path.stem)
def test_every_alert_tells_in_time_and_is_quiet_before(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    names = set(re.findall(r"- alert: (\w+)", path.read_text()))
    assert names
    files = [promtool.RECORDING, path]
    tests = [promtool.story(case) for case in CASES if case.alert in names] + restarts(names)
    assert promtool.judged(tmp_path, files, tests, every=promtool.pace(path)[0], order=rules.groups(files)) == ""


def test_every_alert_has_a_case_in_which_it_tells_and_one_in_which_it_is_quiet() -> None:
    every = {(rule.alert, rule.fields["severity"]) for rule in promtool.ALERTS}
    assert {(case.alert, case.severity) for case in CASES if case.fires} == every
    assert {case.alert for case in CASES if case.quiet} == {name for name, _ in every} - ALWAYS
    assert {promtool.the_rule(case).fields["expr"] for case in CASES if case.fires} == {
        rule.expr for rule in promtool.ALERTS
    }


@pytest.mark.parametrize("rule", promtool.ALERTS, ids=lambda rule: f"{rule.alert}-{rule.fields['severity']}")
def test_an_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on(rule: rules.Rule) -> None:
    assert rule.alert.startswith("Millrace")
    assert rule.fields["severity"] in ("critical", "warning", "info", "none")
    assert rule.fields["summary"].endswith(".")
    assert "{{" not in rule.fields["summary"], "a summary is the same for all of its name"
    assert rule.fields["description"]
    runbooks = '{{ or $externalLabels.millrace_runbooks "docs/runbooks" }}'
    assert rule.fields["runbook_url"] == f"{runbooks}/{rule.alert}.md"
    assert (rules.ROOT / f"docs/runbooks/{rule.alert}.md").is_file()


@pytest.mark.parametrize("rule", promtool.ALERTS, ids=lambda rule: f"{rule.alert}-{rule.fields['severity']}")
def test_an_alert_leads_to_a_dashboard_that_shows_what_it_asks_for(rule: rules.Rule) -> None:
    before, _, uid = rule.fields["dashboard_url"].rpartition("/d/")
    assert before == "{{ $externalLabels.millrace_dashboards }}"
    [board] = [board for board in boards.BOARDS if board.uid == uid]
    shown = {name for panel in board.panels for query in panel.queries for name in questions.metrics(query.expr)}
    shown |= {name for expr in (DEPLOYS, STARTS) for name in questions.metrics(expr)}
    asked = questions.metrics(rule.expr)
    recorded = (one for one in rules.read() if one.fields.get("record") in asked)
    asked |= {name for one in recorded for name in questions.metrics(one.expr)}
    assert _whole(asked) & _whole(shown) or rule.alert in NOT_SHOWN, rule


def _whole(names: set[str]) -> set[str]:
    """Histograms by the name that their parts share."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}


def test_where_addresses_are_not_set_an_alert_names_the_page_in_the_repository(tmp_path: pathlib.Path) -> None:
    """An address that leads nowhere would be worse."""
    look = promtool.story(next(case for case in CASES if case.alert == "MillraceWatchdog"))
    del look["external_labels"]
    told = look["alert_rule_test"][0]["exp_alerts"][0]["exp_annotations"]
    told |= {"runbook_url": "docs/runbooks/MillraceWatchdog.md", "dashboard_url": "/d/millrace-overview"}
    written = tmp_path / "case.json"
    written.write_text(json.dumps({"rule_files": [str(rules.FOLDER / "rules/watch.yml")], "tests": [look]}))
    promtool.run("test", "rules", str(written))


def test_addresses_are_set_in_one_place_and_are_no_labels_of_an_alert() -> None:
    configured = (rules.FOLDER / "prometheus.yml").read_text()
    pattern = "(" + "|".join(name.removeprefix("millrace_") for name in promtool.ADDRESSES) + ")"
    assert f"regex: millrace_{pattern}\n      action: labeldrop" in configured
    assert monitoring.RUNBOOKS in promtool.ADDRESSES
    assert all(f'{name}: ""' in configured for name in promtool.ADDRESSES)


def test_every_runbook_has_its_sections_and_belongs_to_an_alert() -> None:
    assert {book.stem for book in rules.BOOKS} == {rule.alert for rule in promtool.ALERTS}
    for book in rules.BOOKS:
        text = book.read_text()
        assert text.startswith(f"# {book.stem}\n")
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
        assert rules.checks(book)


def test_every_metric_in_a_rule_is_known() -> None:
    known = {metric.name for metric in catalogue.CATALOGUE} | RABBITMQ | COMMON
    known |= {rule.fields["record"] for rule in rules.read() if "record" in rule.fields}
    known |= {f"{m.name}_{part}" for m in catalogue.CATALOGUE if m.buckets for part in ("bucket", "count", "sum")}
    for rule in rules.read():
        named = rules.metrics_in(rule.expr)
        assert named or rule.alert in ALWAYS, rule
        assert named <= known, rule


def test_prometheus_takes_the_configuration() -> None:
    promtool.run("check", "config", str(rules.FOLDER / "prometheus.yml"))
    promtool.run("check", "rules", *map(str, rules.FILES))
