"""The dashboards: made from the boards, well formed, and asking for what there is."""

from __future__ import annotations

import itertools
import json
import pathlib
import re
from typing import Any

import promql_parser
import pytest

from monitoring.grafana import boards, files, looks
from monitoring.grafana.boards import unlimited
from monitoring.grafana.model import Kind, Panel
from monitoring.grafana.write import TRACED, variables_in
from service.telemetry import catalogue
from tests.monitoring import questions
from tests.repository import pages

#: Links and runbooks name them: they stay.
UIDS = {
    "millrace-overview", "millrace-ingest", "millrace-processing", "millrace-queues", "millrace-schedules",
    "millrace-letters",
}  # fmt: skip

#: What dashboards ask for beside the catalogue: of Prometheus, of its client, and of RabbitMQ 3.10 and later.
OTHERS = {
    "ALERTS", "up", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds",
    "process_max_fds", "process_start_time_seconds",
    "rabbitmq_alarms_file_descriptor_limit", "rabbitmq_alarms_free_disk_space_watermark",
    "rabbitmq_alarms_memory_used_watermark", "rabbitmq_auth_attempts_failed_total",
    "rabbitmq_connections_closed_total", "rabbitmq_connections_opened_total",
    "rabbitmq_detailed_queue_consumers", "rabbitmq_detailed_queue_messages",
    "rabbitmq_detailed_queue_messages_ready", "rabbitmq_detailed_queue_messages_unacked",
    "rabbitmq_disk_space_available_bytes", "rabbitmq_disk_space_available_limit_bytes",
    "rabbitmq_global_messages_acknowledged_total", "rabbitmq_global_messages_dead_lettered_delivery_limit_total",
    "rabbitmq_global_messages_dead_lettered_expired_total", "rabbitmq_global_messages_dead_lettered_maxlen_total",
    "rabbitmq_global_messages_dead_lettered_rejected_total", "rabbitmq_global_messages_delivered_total",
    "rabbitmq_global_messages_received_total", "rabbitmq_global_messages_redelivered_total",
    "rabbitmq_global_messages_unroutable_returned_total",
    "rabbitmq_process_max_fds", "rabbitmq_process_open_fds", "rabbitmq_process_resident_memory_bytes",
    "rabbitmq_raft_entry_commit_latency_seconds", "rabbitmq_resident_memory_limit_bytes",
}  # fmt: skip

UNITS = {"short", "s", "bytes", "percentunit", "reqps"}
PANELS = [pytest.param(p, id=f"{b.uid}: {p.title}") for b in boards.BOARDS for p in b.panels]
DOCUMENTS = {board.uid: json.loads((files.FOLDER / f"{board.uid}.json").read_text()) for board in boards.BOARDS}


@pytest.mark.parametrize("path", files.all_of_them(), ids=lambda path: path.name)
def test_the_files_are_those_of_the_boards_of_today(path: pathlib.Path) -> None:
    assert path.read_text() == files.all_of_them()[path], "python -m monitoring.grafana writes it anew"


def test_there_are_no_others() -> None:
    assert {path.stem for path in files.FOLDER.iterdir()} == UIDS == {board.uid for board in boards.BOARDS}


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_says_what_it_tells_and_what_to_do(panel: Panel) -> None:
    for text in (panel.tells, panel.act):
        assert text.endswith((".", "?")), text
        assert len(text.split()) > 2, text
    assert panel.unit in UNITS or panel.unit.startswith("suffix: "), panel.unit
    assert [limit.value for limit in panel.limits] == sorted(limit.value for limit in panel.limits)
    assert all(q.legend for q in panel.queries) or panel.kind in (Kind.STAT, Kind.HEAT), "a series without a name"


def test_every_panel_has_limits_or_a_reason_why_it_has_none() -> None:
    without = {(board.uid, panel.title) for board in boards.BOARDS for panel in board.panels if not panel.limits}
    excused = [
        (uid, title)
        for reason, places in unlimited.UNLIMITED.items()
        for uid, titles in places.items()
        for title in titles
        if len(reason.split()) > 3
    ]
    assert sorted(excused) == sorted(without)


@pytest.mark.parametrize("panel", PANELS)
def test_its_questions_are_promql_over_metrics_that_there_are(panel: Panel) -> None:
    for query in panel.queries:
        assert questions.metrics(query.expr) - _known() == set()


@pytest.mark.parametrize("panel", PANELS)
def test_its_questions_are_asked_as_they_should_be(panel: Panel) -> None:
    for expr in (query.expr for query in panel.queries):
        assert [w for w in re.findall(r"[})]?\[(\$?\w+)\]", expr) if w not in questions.DURATIONS] == []
        for node in questions.nodes(questions.parsed(expr)):
            _check(node, expr)
        for selector in questions.selectors(expr):
            if str(selector.name).startswith("millrace_"):
                assert 'job=~"$job"' in str(selector) or "role=" in str(selector) or "build_info" in str(selector)


def _check(node: Any, expr: str) -> None:
    """Counters only under rate or increase, quantiles over buckets that are summed by le."""
    if not isinstance(node, promql_parser.Call):
        return
    name = node.func.name
    if name == "histogram_quantile":
        assert "le" in str(node.args[1].modifier), expr
    if name in ("rate", "increase"):
        [counter] = [str(n.name) for n in questions.nodes(node.args[0]) if type(n).__name__ == "VectorSelector"]
        assert counter.endswith(("_total", "_bucket", "_count", "_sum")), f"{name} of the gauge {counter}"


@pytest.mark.parametrize("panel", PANELS)
def test_a_counter_is_never_shown_as_it_is(panel: Panel) -> None:
    for query in panel.queries:
        counters = re.findall(r"(\w+_(?:total|bucket|sum|count))\b", query.expr)
        under = re.findall(r"(?:rate|increase)\((?:max(?: by \([^)]*\))? \()?(\w+)\{?", query.expr)
        assert sorted(counters) == sorted(under)


def test_a_label_that_is_asked_for_is_one_that_the_metric_has() -> None:
    labels = {metric.name: {*metric.label_names, "job", "instance", "le"} for metric in catalogue.CATALOGUE}
    for panel in (p for board in boards.BOARDS for p in board.panels):
        for query in panel.queries:
            for selector in questions.selectors(query.expr):
                metric = re.sub(r"_(bucket|sum|count)$", "", str(selector.name))
                asked = {m.name for m in selector.matchers.matchers}
                assert asked <= labels.get(metric, asked), query.expr


@pytest.mark.parametrize("uid", sorted(UIDS))
def test_the_panels_do_not_overlap_and_have_numbers_of_their_own(uid: str) -> None:
    panels = DOCUMENTS[uid]["panels"]
    assert len({p["id"] for p in panels}) == len(panels)
    cells = [
        cell
        for place in (p["gridPos"] for p in panels)
        for cell in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
    ]
    assert len(set(cells)) == len(cells)
    tall = {y for _, y in cells}
    assert {sum(1 for x, at in cells if at == y) for y in tall} == {24}, "a row that is not filled"


@pytest.mark.parametrize("uid", sorted(UIDS))
def test_variables_are_defined_and_used_and_are_labels_that_there_are(uid: str) -> None:
    board = next(b for b in boards.BOARDS if b.uid == uid)
    used = {name for p in board.panels for q in p.queries for name in variables_in(q.expr)}
    assert used == {variable.name for variable in board.variables}
    assert {name for variable in board.variables for name in questions.metrics(variable.series)} <= _known()


@pytest.mark.parametrize("uid", sorted(UIDS))
def test_a_dashboard_is_not_edited_in_grafana_and_marks_deploys(uid: str) -> None:
    document = DOCUMENTS[uid]
    assert not document["editable"]
    assert [mark["name"] for mark in document["annotations"]["list"]] == ["Deploys", "Starts"]
    for mark in document["annotations"]["list"]:
        assert questions.metrics(mark["expr"]) <= _known()
    links = {link["url"].removeprefix("/d/") for link in document["links"]}
    assert links == UIDS - {uid}


def test_every_metric_of_the_catalogue_is_on_a_dashboard() -> None:
    shown = {name for b in boards.BOARDS for p in b.panels for q in p.queries for name in questions.metrics(q.expr)}
    missing = {metric.name for metric in catalogue.CATALOGUE if not shown & _names(metric)}
    assert missing == set()


def test_all_of_what_others_have_too_is_what_is_ours() -> None:
    """On a Prometheus that others use, *All* must not mean their processes, on a RabbitMQ not their queues."""
    anything = {
        one["name"]: one["allValue"]
        for document in DOCUMENTS.values()
        for one in document["templating"]["list"]
        if "allValue" in one
    }
    assert set(anything) == {"type", "route", "schedule"}
    for query in (query for board in boards.BOARDS for panel in board.panels for query in panel.queries):
        for selector in questions.selectors(query.expr):
            asked = {matcher.name: str(matcher.value) for matcher in selector.matchers.matchers}
            if not str(selector.name).startswith(("millrace_", "millrace:")):
                assert not {f"${name}" for name in anything} & set(asked.values()), query.expr
            if str(selector.name) == "up" or str(selector.name).startswith("process_"):
                assert asked.get("job") == "$job", query.expr
            if str(selector.name).startswith("rabbitmq_detailed_queue_"):
                assert asked.get("vhost") == "$vhost" or "and on (vhost" in query.expr, query.expr
            if str(selector.name) == "ALERTS":
                assert asked["alertname"].startswith("Millrace"), query.expr


@pytest.mark.parametrize("panel", PANELS)
def test_no_value_is_beyond_the_axis(panel: Panel) -> None:
    """What is left of a disk, or of a certificate, is less than nothing just when it matters."""
    given = looks.defaults(panel)
    assert panel.kind is not Kind.GRAPH or not {"min", "max"} & given.keys()
    for query in panel.queries:
        amounts = [
            node
            for node in questions.nodes(questions.parsed(query.expr))
            if type(node).__name__ == "BinaryExpr"
            and str(node.op) == "-"
            and type(node.lhs).__name__ != "NumberLiteral"
        ]
        assert not amounts or "min" not in given, query.expr


@pytest.mark.parametrize("panel", PANELS)
def test_a_column_of_a_heat_map_counts_what_no_other_does(panel: Panel) -> None:
    for query in panel.queries:
        assert ("[$__interval]" in query.expr) is (panel.kind is Kind.HEAT)
        assert panel.kind is not Kind.HEAT or "$__rate_interval" not in query.expr
    shown = [p for document in DOCUMENTS.values() for p in document["panels"] if p["type"] == Kind.HEAT]
    assert len(shown) == 4
    assert {target["interval"] for p in shown for target in p["targets"]} == {"1m"}, "no shorter than four scrapes"


def test_examples_are_asked_for_where_there_are_some() -> None:
    """Which histograms carry trace ids: ``tests/unit/metrics/test_serving.py``."""
    asked = {
        re.sub(r"_bucket$", "", name)
        for document in DOCUMENTS.values()
        for found in document["panels"]
        for target in found.get("targets", ())
        if target["exemplar"]
        for name in questions.metrics(target["expr"])
    }
    assert asked == set(TRACED)
    source = (pages.ROOT / "monitoring/grafana/provisioning/datasources/prometheus.yml").read_text()
    assert re.search(r"exemplarTraceIdDestinations:\n *- name: trace_id\n", source), "they lead to nothing"


def test_what_every_clock_counts_for_all_is_not_summed_over_clocks() -> None:
    """Two clocks would show the double."""
    whole = {metric.name for metric in catalogue.CATALOGUE if "take the max" in metric.help.lower()}
    assert "millrace_events_tallied_total" in whole
    for query in (query for board in boards.BOARDS for panel in board.panels for query in panel.queries):
        for node in questions.nodes(questions.parsed(query.expr)):
            if type(node).__name__ == "AggregateExpr" and str(node.op) != "max":
                below = node.expr
                while type(below).__name__ in ("Call", "ParenExpr"):
                    below = below.args[0] if type(below).__name__ == "Call" else below.expr
                selector = getattr(below, "vector_selector", below)
                assert str(getattr(selector, "name", "")) not in whole, query.expr


def test_cancelled_is_what_the_ledger_says() -> None:
    """Most cancels happen at the door, of which no worker knows."""
    asked = [query.expr for board in boards.BOARDS for panel in board.panels for query in panel.queries]
    for expr in asked:
        for selector in questions.selectors(expr):
            values = {matcher.value for matcher in selector.matchers.matchers if matcher.name == "outcome"}
            assert not [value for value in values if "cancelled" in value], expr


def test_accepted_and_finished_count_the_same_events() -> None:
    """Ticks and replays are finished as any other, and come by no door."""
    [panel] = [p for board in boards.BOARDS for p in board.panels if p.title == "Accepted and finished"]
    [entered] = [query for query in panel.queries if query.legend == "accepted"]
    assert questions.metrics(entered.expr) == {"millrace_events_tallied_total"}


def test_what_is_paused_is_not_said_to_wait() -> None:
    """The metric leaves it out: advice to look for a pause would be for nothing."""
    [metric] = [metric for metric in catalogue.CATALOGUE if metric.name == "millrace_oldest_waiting_seconds"]
    assert "What is paused and not published does not count." in metric.help
    panels = [p for board in boards.BOARDS for p in board.panels if metric.name in str(p.queries)]
    assert len(panels) > 2
    for panel in panels:
        assert "paused" not in panel.act, panel.title
        assert "paused ones count" not in panel.tells, panel.title


def test_canaries_are_shown_by_the_quantile_that_the_alert_asks() -> None:
    road = (pages.ROOT / "monitoring/prometheus/rules/road.yml").read_text()
    [asked] = re.findall(r"histogram_quantile\(([\d.]+), .*millrace_canary_latency_seconds_bucket", road)
    shown = [p for board in boards.BOARDS for p in board.panels if "millrace_canary_latency" in str(p.queries)]
    assert len(shown) == 2
    for panel in shown:
        assert [query for query in panel.queries if query.expr.startswith(f"histogram_quantile({asked},")], panel.title


def _names(metric: catalogue.Metric) -> set[str]:
    if metric.kind is catalogue.Kind.HISTOGRAM:
        return {f"{metric.name}{end}" for end in ("_bucket", "_sum", "_count")}
    return {metric.name}


def _known() -> set[str]:
    rules = (pages.ROOT / "monitoring/prometheus/rules").glob("*.yml")
    recorded = {name for path in rules for name in re.findall(r"record: ([\w:]+)", path.read_text())}
    return OTHERS | recorded | {name for metric in catalogue.CATALOGUE for name in _names(metric)}


def test_grafana_is_told_of_the_folder_that_the_page_names() -> None:
    folder = "/var/lib/grafana/dashboards/millrace"
    provisioning = pages.ROOT / "monitoring/grafana/provisioning"
    assert f"path: {folder}\n" in (provisioning / "dashboards/millrace.yml").read_text()
    assert f"`{folder}`" in (pages.ROOT / "docs/dashboards.md").read_text()
    assert "type: prometheus\n" in (provisioning / "datasources/prometheus.yml").read_text()
