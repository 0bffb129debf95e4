"""What a Prometheus, and an Alertmanager, answer."""

from __future__ import annotations

import http
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from tests.patience import PATIENCE


class Prometheus:
    """A server that runs."""

    def __init__(self, url: str) -> None:
        self.url = url

    def now(self, expr: str, *, at: float | None = None) -> list[Any]:
        """The series of an instant query, now or at a time; raises AssertionError for a question that is wrong."""
        return list(self._ask("query", query=expr, **({} if at is None else {"time": at}))["result"])

    def over(self, expr: str, start: float, end: float, step: float) -> list[Any]:
        """The series of a range query."""
        return list(self._ask("query_range", query=expr, start=start, end=end, step=step)["result"])

    def sum(self, expr: str, *, at: float | None = None) -> float:
        """The sum of what there is, now or at a time; 0 without any."""
        found = self.now(f"sum({expr})", at=at)
        return float(found[0]["value"][1]) if found else 0.0

    def rules(self) -> list[Any]:
        """The groups of rules."""
        return list(self._ask("rules")["groups"])

    def exemplars(self, expr: str, start: float, end: float) -> list[dict[str, str]]:
        """The labels of the exemplars that the series of a question have."""
        found = self._ask("query_exemplars", query=expr, start=start, end=end)
        return [one["labels"] for series in found for one in series["exemplars"]]

    def _ask(self, what: str, **words: object) -> Any:
        url = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(words)}"
        try:
            with urllib.request.urlopen(url, timeout=20 * PATIENCE) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == http.HTTPStatus.SERVICE_UNAVAILABLE:
                raise  # It has just been started.
            raise AssertionError(f"{words.get('query')}: {json.load(error)['error']}") from None


def states(alertmanager: str, name: str) -> set[str]:
    """What an Alertmanager does with the alerts of a name: ``active``, ``suppressed``."""
    with urllib.request.urlopen(f"{alertmanager}/api/v2/alerts", timeout=20 * PATIENCE) as answer:
        return {one["status"]["state"] for one in json.load(answer) if one["labels"]["alertname"] == name}
