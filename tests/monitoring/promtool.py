"""promtool: what it is told, and what it says."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
from typing import Any

from tests.monitoring import rules
from tests.monitoring.cases import Case
from tests.servers import need_prometheus

#: What a test sets as addresses; the names are those in prometheus.yml.
ADDRESSES = {"millrace_runbooks": "https://git.example/runbooks", "millrace_dashboards": "https://grafana.example"}
ALERTS = rules.alerts()
RECORDING = rules.FOLDER / "rules/recording.yml"
TOLD = [path for path in rules.FILES if path != RECORDING]  #: the files with alerts


def run(*words: str) -> str:
    """Run it, and have it find nothing wrong."""
    code, said = ask(*words)
    assert code == 0, said
    return said


def ask(*words: str) -> tuple[int, str]:
    """Its exit code, and what it says."""
    need_prometheus()
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def judged(
    folder: pathlib.Path, files: list[pathlib.Path], tests: list[dict[str, Any]], *, every: str, order: list[str]
) -> str:
    """What it says of stories by the rules in ``files``; empty when all went as expected."""
    document = {
        "rule_files": [str(path) for path in files],
        "evaluation_interval": every,
        "group_eval_order": order,
        "tests": tests,
    }
    written = folder / "cases.json"  # JSON is YAML, too.
    written.write_text(json.dumps(document))
    code, said = ask("test", "rules", str(written))
    assert code == 0 or "alertname: " in said, said
    return said if code else ""


def pace(path: pathlib.Path) -> tuple[str, int]:
    """How often the rules of a file are evaluated here, and that in seconds: those that look back over days seldom."""
    return ("2m", 120) if path.stem in ("access", "budgets", "objectives") else ("30s", 30)


def the_rule(case: Case) -> rules.Rule:
    """The rule that this case is about."""
    same = [rule for rule in ALERTS if rule.alert == case.alert and rule.fields["severity"] == case.severity]
    # Two of a name and a severity differ in what they say.
    fits = [rule for rule in same if re.fullmatch(_pattern(rule.fields["description"]), case.says)]
    assert len(fits) == 1, f"{case.alert}: {case.says!r} is none of {[rule.fields['description'] for rule in same]}"
    return fits[0]


def _pattern(description: str) -> str:
    return "(.+)".join(re.escape(part) for part in re.split(r"\{\{.*?\}\}", description))


def story(case: Case) -> dict[str, Any]:
    """The case as promtool wants it."""
    looks: list[dict[str, Any]] = []
    if case.quiet:
        looks.append({"eval_time": case.quiet, "alertname": case.alert, "exp_alerts": []})
    if case.fires:
        fields = the_rule(case).fields
        board = fields["dashboard_url"].rpartition("/")[2]
        expected = {
            "exp_labels": case.labels | {"severity": case.severity},
            "exp_annotations": {
                "summary": fields["summary"],
                "description": case.says,
                "runbook_url": f"{ADDRESSES['millrace_runbooks']}/{case.alert}.md",
                "dashboard_url": f"{ADDRESSES['millrace_dashboards']}/d/{board}",
            },
        }
        looks.append({"eval_time": case.fires, "alertname": case.alert, "exp_alerts": [expected]})
    return {
        "name": f"{case.alert}, {case.severity}: quiet at {case.quiet}, tells at {case.fires}",
        "interval": "30s",
        "external_labels": ADDRESSES,
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": looks,
    }
