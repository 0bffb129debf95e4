"""A dashboard's questions as Prometheus can answer them: with values for the variables, as Grafana puts them in."""

from __future__ import annotations

import re

from monitoring.grafana.model import Query

ALL = ".*"  #: what Grafana puts in for *All*


def fill(query: Query, *, interval: str, span: str) -> str:
    """The question; ``interval`` for ``$__rate_interval``, ``span`` for ``$__range``, all the rest is *All*."""
    own = {"__rate_interval": interval, "__range": span}
    return re.sub(r"\$(\w+)", lambda found: own.get(found[1], ALL), query.expr)


def named(legend: str, labels: dict[str, str]) -> str:
    """What a series is called."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)
