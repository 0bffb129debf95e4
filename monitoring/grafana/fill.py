"""A dashboard's questions as Prometheus can answer them: with values for the variables, as Grafana puts them in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from monitoring.grafana.model import Query, Variable

ALL = ".*"  #: what Grafana puts in for *All*, where only we have such series


def found(variables: Iterable[Variable], ask: Callable[[str], list[Any]]) -> dict[str, str]:
    """What it puts in for *All* of those that others have, too: the values there are. ``ask``: PromQL to series."""
    words = {}
    for variable in (variable for variable in variables if not variable.ours):
        series = ask(f"count by ({variable.source}) ({variable.series})")
        values = [one["metric"][variable.source] for one in series if variable.source in one["metric"]]
        words[variable.name] = f"({'|'.join(sorted(map(re.escape, values)))})".replace("\\", "\\\\")
    return words


def fill(query: Query, words: Mapping[str, str], *, interval: str, span: str, step: str = "") -> str:
    """The question, with ``words`` for variables of the dashboard; all others are *All*.

    ``interval`` for ``$__rate_interval``, ``span`` for ``$__range``, ``step`` for ``$__interval``.
    """
    own = {"__rate_interval": interval, "__range": span, "__interval": step or interval, **words}
    return re.sub(r"\$(\w+)", lambda match: own.get(match[1], ALL), query.expr)


def named(legend: str, labels: dict[str, str]) -> str:
    """What a series is called."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)
