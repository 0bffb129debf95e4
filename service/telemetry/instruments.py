"""The instruments of one process: the catalogue's metrics, as prometheus_client knows them."""

from __future__ import annotations

import bisect
import collections
import importlib.metadata
import itertools
import math
import platform
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import prometheus_client
from prometheus_client import gc_collector, platform_collector, process_collector, samples

from service.telemetry import catalogue

Instrument: TypeAlias = prometheus_client.Counter | prometheus_client.Gauge | prometheus_client.Histogram

#: Codes that alerts ask for of any route. A counter that is born at 1 shows no increase.
BORN_CODES = ("500", "503")
#: Methods that every route has besides its own: histograms of them would be two thirds of all that a web serves.
AUTOMATIC = ("HEAD", "OPTIONS")
#: And what posts of events are answered with: budgets are shares of these.
POSTS = ("POST", "/v1/events")
BORN_OF_POSTS = ("200", "202", "207", "400", "401", "403", "404", "408", "409", "413", "415", "422", "429")

#: A traceparent of a trace that is kept; its first group is the id of the trace.
TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f][13579bdf].*")

#: (metric, label) → the values that may be.
CLOSED = {
    (metric.name, label.name): frozenset(label.values)
    for metric in catalogue.CATALOGUE
    for label in metric.labels
    if label.values
}


class Durations(prometheus_client.Histogram):
    """A histogram that takes many values at once: a report brings two for each of its events.

    One by one they would cost a worker's parent a quarter of what it spends on a whole message.
    """

    def observe_all(self, seconds: Iterable[float], example: str | None = None) -> None:
        """Put in all values; the longest one is the example of its bucket, if its trace is known and was sampled."""
        # The clocks of two machines may differ by more than something takes.
        values = [max(0.0, float(value)) for value in seconds]
        trace = TRACE.fullmatch(example) if example else None
        if len(values) == 1:
            self.observe(values[0], {"trace_id": trace[1]} if trace else None)
            return
        counts = collections.Counter(bisect.bisect_left(self._upper_bounds, v) for v in values)
        self._sum.inc(math.fsum(values))
        for number, n in counts.items():
            self._buckets[number].inc(n)
        if trace and values:
            longest = max(values)
            shown = samples.Exemplar({"trace_id": trace[1]}, longest, time.time())
            self._buckets[bisect.bisect_left(self._upper_bounds, longest)].set_exemplar(shown)


class Seen(prometheus_client.Gauge):
    """A gauge of what is looked at again and again: NaN when the last look was too long ago.

    A value that stays where it was, because nobody can look any more, would count beside those of others who can.
    """

    is_fresh: Callable[[], bool] = staticmethod(lambda: True)

    def collect(self) -> Iterable[prometheus_client.Metric]:
        """The family of its samples."""
        for family in super().collect():
            if not self.is_fresh():
                family.samples = [sample._replace(value=math.nan) for sample in family.samples]
            yield family


class Instruments:
    """The metrics that a role has. Those that it does not have take no notice."""

    def __init__(self, role: str, version: str) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = prometheus_client.CollectorRegistry()
        self._mine = [metric for metric in catalogue.CATALOGUE if role in metric.roles]
        self._instruments = {metric.name: self._make(metric) for metric in self._mine}
        self._found: dict[tuple[Any, ...], Any] = {}  # Series that were looked for before.
        self._seen: dict[str, float] = {}  # Gauge → when it was set for the last time, by time.monotonic().
        #: The values of labels whose lists come from the process.
        self._known: dict[str, set[str]] = {
            "type": set(),
            "schedule": set(),
            "queue": set(),
            "vhost": set(),
            "method": set(),
            "route": set(),
        }
        #: Gauge → the labels of the series that were replaced before, or are to be.
        self._replaced: dict[str, set[tuple[str, ...]]] = collections.defaultdict(set)
        self._begin_closed()
        self._begin_process(role, version)
        for label in ("type", "schedule", "queue", "vhost"):
            self.know(label, [catalogue.OTHER])
        self.know_routes([(catalogue.OTHER, catalogue.OTHER)])
        self._begin_pairs()

    def add(self, name: str, n: float, **labels: str) -> None:
        """Count ``n`` more."""
        if (found := self._series(name, **labels)) is not None:
            found.inc(n)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        if (found := self._series(name, **labels)) is not None:
            found.set(value)
            self._seen[name] = time.monotonic()

    def ask(self, name: str, function: Callable[[], float], **labels: str) -> None:
        """Have a gauge ask for its value at each scrape."""
        if (found := self._series(name, **labels)) is not None:
            found.set_function(function)

    def replace(
        self,
        name: str,
        values: Mapping[Any, float],
        *,
        merge: Callable[[float, float], float] = max,
        otherwise: float = 0.0,
    ) -> None:
        """Set all series of a gauge, by the tuple of their labels' values; what is not named is set to ``otherwise``.

        ``merge`` makes one value of several that are counted as ``other``.
        """
        metric = next((metric for metric in self._mine if metric.name == name), None)
        if metric is None:
            return
        found: dict[tuple[str, ...], float] = dict.fromkeys(self._replaced[name], otherwise)
        known: dict[tuple[str, ...], float] = {}
        for key, value in values.items():
            clean = tuple(self._clean(name, label, one) for label, one in zip(metric.label_names, key, strict=True))
            known[clean] = merge(known[clean], value) if clean in known else value
        self._replaced[name].update(known)
        for key, value in (found | known).items():
            self._instruments[name].labels(*key).set(value)  # type: ignore[union-attr]
        self._seen[name] = time.monotonic()

    def observe(self, name: str, seconds: Iterable[float], *, example: str | None = None, **labels: str) -> None:
        """Put durations into a histogram. ``example``: the W3C traceparent of the longest."""
        if (found := self._series(name, **labels)) is not None:
            found.observe_all(seconds, example)

    def know(self, label: str, values: Iterable[str]) -> None:
        """Add types, schedules or queues to what is known; each gets its series at once, at 0."""
        new = sorted({*values} - self._known[label])
        self._known[label].update(new)
        for metric in self._mine if new else ():
            open_labels = [one.name for one in metric.labels if not one.values]
            if open_labels == [label] and not metric.goes_on:
                axes = [new if one.name == label else one.values for one in metric.labels]
                self._begin(metric, axes)

    def go_on(self, name: str) -> None:
        """Make the other series of a counter of which something was read: a jump from 0 would look like a rush."""
        for metric in self._mine:
            if metric.name == name:
                self._begin(metric, [one.values or sorted(self._known[one.name]) for one in metric.labels])

    def know_routes(self, routes: Iterable[tuple[str, str]]) -> None:
        """Add routes (method, template) to what is known."""
        for method, route in routes:
            self._known["method"].add(method)
            self._known["route"].add(route)
            if method not in AUTOMATIC:
                self._series("millrace_http_request_duration_seconds", method=method, route=route)
            is_post = method == POSTS[0] and route.startswith(POSTS[1])
            for code in BORN_CODES + (BORN_OF_POSTS if is_post else ()):
                self._series("millrace_http_requests_total", method=method, route=route, code=code)

    def _series(self, name: str, **labels: str) -> Any:
        """The series with these labels, or None if this role does not have the metric."""
        key = (name, *labels.items())
        found = self._found.get(key)
        if found is None and (instrument := self._instruments.get(name)) is not None:
            clean = {label: self._clean(name, label, value) for label, value in labels.items()}
            found = instrument.labels(**clean) if clean else instrument
            if clean == labels:  # All else may be anything, without end.
                self._found[key] = found
        return found

    def _clean(self, name: str, label: str, value: str) -> str:
        allowed = self._known.get(label) or CLOSED.get((name, label), frozenset[str]())
        return value if value in allowed else catalogue.OTHER

    def _make(self, metric: catalogue.Metric) -> Instrument:
        given: dict[str, Any] = {"labelnames": metric.label_names, "registry": self.registry}
        if metric.kind is catalogue.Kind.COUNTER:
            return prometheus_client.Counter(metric.name, metric.help, **given)
        if metric.kind is catalogue.Kind.GAUGE:
            gauge = Seen(metric.name, metric.help, **given)
            if metric.shown:
                gauge.is_fresh = lambda: time.monotonic() - self._seen.get(metric.name, -math.inf) < metric.shown
            return gauge
        return Durations(metric.name, metric.help, buckets=metric.buckets, **given)

    def _begin(self, metric: catalogue.Metric, axes: Iterable[Iterable[str]]) -> None:
        """Make series, those of gauges without a value: 0 would be a guess."""
        for values in itertools.product(*axes):
            found = self._series(metric.name, **dict(zip(metric.label_names, values, strict=True)))
            if metric.kind is catalogue.Kind.GAUGE:
                self._replaced[metric.name].add(values)
                found.set(math.nan)

    def _begin_closed(self) -> None:
        for metric in self._mine:
            if all(label.values for label in metric.labels):
                self._begin(metric, [label.values for label in metric.labels])

    def _begin_pairs(self) -> None:
        """Gauges by two things that the process knows have series for what was seen: most pairs never are."""
        for metric in self._mine:
            if metric.kind is catalogue.Kind.GAUGE and sum(label.name in self._known for label in metric.labels) > 1:
                self._begin(metric, [[catalogue.OTHER]] * len(metric.labels))

    def _begin_process(self, role: str, version: str) -> None:
        facts = {
            "version": version,
            "python": platform.python_version(),
            "celery": _celery(),
        }
        self._instruments["millrace_build_info"].labels(role=role, **facts).inc()  # type: ignore[union-attr]
        process_collector.ProcessCollector(registry=self.registry)
        platform_collector.PlatformCollector(registry=self.registry)
        gc_collector.GCCollector(registry=self.registry)


def _celery() -> str:
    try:
        return importlib.metadata.version("celery")
    except importlib.metadata.PackageNotFoundError:
        return "none"
