"""What KEDA is told of the age of what waits: Prometheus itself works the queries on series as clocks show them."""

from __future__ import annotations

import pathlib
import subprocess
from typing import Any

import pytest
import yaml

from tests import servers
from tests.deploy import manifests

NOTHING = " ".join(["NaN"] * 21)  #: what a gauge shows before it was set, and when its clock cannot look

#: Two clocks, every 15 s: what each shows of tickets that are due, and of what waits in the queue; the answer after 3
#: minutes, None for no answer.
CASES: dict[str, tuple[str, dict[str, str], float | None]] = {
    "clocks are new and nothing has waited yet": ("0x20", {}, 0),
    "nothing waits": ("0x20", {"numbers.requested": "0x20"}, 0),
    "a look has caught one that is taken at once": ("0x20", {"numbers.requested": "0x11 7200 0x8"}, 0),
    "one waits, and goes on waiting": ("1x20", {"numbers.requested": "0+15x20"}, 120),
    "a type that no code knows comes back again and again": ("1x20", {"other": "7200x20"}, 0),
    "one that is known waits behind it": ("2x20", {"other": "7200x20", "numbers.requested": "0+15x20"}, 120),
    "no clock can look": (NOTHING, {"numbers.requested": NOTHING}, None),
    "no clock is there": ("_x20", {}, None),
}


@pytest.fixture
def query(production: list[manifests.Manifest]) -> str:
    """Of the events' workers; the others differ in the queue alone."""
    queries = {}
    for one in manifests.of_kind(production, "ScaledObject"):
        (age,) = [t["metadata"]["query"] for t in one["spec"]["triggers"] if t["name"] == "age"]
        queries[one["metadata"]["name"].removeprefix("worker-")] = age
    assert {text.replace(f'"{queue}"', '"events"') for queue, text in queries.items()} == {queries["events"]}
    return str(queries["events"])


def test_age_is_told_when_it_can_be_and_only_of_what_a_worker_helps(query: str, tmp_path: pathlib.Path) -> None:
    servers.need_prometheus()
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [_group(query)]}))
    cases = {"rule_files": ["rules.yml"], "evaluation_interval": "15s", "tests": [*map(_case, CASES)]}
    (tmp_path / "cases.yml").write_text(yaml.safe_dump(cases))
    words = ["promtool", "test", "rules", str(tmp_path / "cases.yml")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _group(query: str) -> dict[str, Any]:
    return {"name": "keda", "rules": [{"record": "age", "expr": query}]}


def _case(name: str) -> dict[str, Any]:
    due, waits, answer = CASES[name]
    series = []
    for clock in ("one", "two"):
        series.append({"series": f'millrace_tickets_due{{instance="{clock}"}}', "values": due})
        # As each is born.
        born = f'millrace_oldest_waiting_seconds{{instance="{clock}",queue="other",type="other"}}'
        series.append({"series": born, "values": NOTHING})
        for type_name, values in waits.items():
            labels = f'instance="{clock}",queue="events",type="{type_name}"'
            series.append({"series": f"millrace_oldest_waiting_seconds{{{labels}}}", "values": values})
    samples = [] if answer is None else [{"labels": "age{}", "value": answer}]
    asked = {"expr": "age", "eval_time": "3m", "exp_samples": samples}
    return {"name": name, "interval": "15s", "input_series": series, "promql_expr_test": [asked]}
