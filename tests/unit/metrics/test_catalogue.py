"""What is served is the catalogue: names, kinds, labels, helps, and the page of the docs."""

from __future__ import annotations

import math
import pathlib

import blinker
import pytest
from prometheus_client import parser

from service import signals
from service.telemetry import catalogue, metrics, reference, tracing
from tests.unit.metrics.scraping import DONE, counting, get, serving, value

ROOT = pathlib.Path(__file__).parents[3]


@pytest.mark.parametrize("role", catalogue.ROLES)
def test_a_scrape_finds_exactly_the_catalogue(role: str) -> None:
    known = {"types": ["a.b"], "schedules": ["hourly"], "routes": [("GET", "/healthz")]}
    with counting(role, **known) as found, serving(found.registry) as port:
        status, _, body = get(port)
    families = {f.name: f for f in parser.text_string_to_metric_families(body) if f.name.startswith("mill")}
    expected = {m.name.removesuffix("_total"): m for m in catalogue.CATALOGUE if role in m.roles}
    assert status == 200
    assert families.keys() == expected.keys()
    for name, metric in expected.items():
        assert families[name].type == metric.kind.value
        assert families[name].documentation == metric.help
        assert families[name].samples or metric.goes_on, f"{name} has no series before something happens"
        for sample in families[name].samples:
            assert sample.labels.keys() - {"le"} == set(metric.label_names)


def test_names_follow_the_conventions() -> None:
    names = [m.name for m in catalogue.CATALOGUE]
    assert len(names) == len(set(names))
    for metric in catalogue.CATALOGUE:
        assert metric.name.startswith("millrace_")
        assert metric.name.endswith("_total") == (metric.kind is catalogue.Kind.COUNTER)
        assert metric.name.endswith("_seconds") or metric.kind is not catalogue.Kind.HISTOGRAM
        assert bool(metric.buckets) == (metric.kind is catalogue.Kind.HISTOGRAM)
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert not [n for n in metric.label_names if n == "id" or n.endswith("_id")]
        assert all(bool(label.values) != bool(label.source) for label in metric.labels)


def test_the_page_agrees_with_the_catalogue() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert page == reference.page(), "run: python -m service.telemetry.catalogue > docs/metrics.md"


def test_every_signal_is_listened_to() -> None:
    names = [n for n, found in vars(signals).items() if isinstance(found, blinker.Signal)]
    assert names
    listeners = {*vars(metrics.Metrics), *vars(tracing.Tracing)}
    others = {"ticket_over"}  # The worker's consumer has it.
    assert [n for n in names if f"on_{n}" not in listeners and n not in others] == []


def test_label_sets_begin_at_zero_and_gauges_without_a_value() -> None:
    with counting("worker", types=["a.b"]) as found:
        for word in DONE:
            labels = {"type": "a.b", "outcome": word}
            assert value(found, "millrace_events_finished_total", **labels) == 0
        assert value(found, "millrace_event_run_duration_seconds_count", type="a.b") == 0
        assert math.isnan(value(found, "millrace_connection_up", peer="broker") or 0)
    with counting("web", routes=[("POST", "/v1/events/<type>")]) as found:
        labels = {"method": "POST", "route": "/v1/events/<type>", "code": "503"}
        assert value(found, "millrace_http_requests_total", **labels) == 0
    with counting("clock") as found:
        assert math.isnan(value(found, "millrace_tickets_due") or 0)
