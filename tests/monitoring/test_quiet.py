"""What is quiet is so by a hair's breadth: each limit of an alert, a little less strict, tells where nothing must."""

from __future__ import annotations

import json
import pathlib
import re
from typing import Any

import pytest
import yaml

from tests.monitoring import promtool, rules
from tests.monitoring.cases import CASES, Case
from tests.monitoring.loosened import loosened


def quiet_times(case: Case, rule: dict[str, Any]) -> set[str]:
    """When this rule must be quiet: when all of its name are, and when another of its name tells."""
    kind = rule["labels"]["severity"], rule["annotations"]["description"]
    its_own = case.fires and (case.severity, promtool.the_rule(case).fields["description"]) == kind
    return {case.quiet, "" if its_own else case.fires} - {""}


@pytest.mark.parametrize("path", promtool.TOLD, ids=lambda path: path.stem)
def test_of_each_limit_that_is_less_strict_a_quiet_evaluation_tells(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    document = yaml.safe_load(path.read_text())
    every, step = promtool.pace(path)
    changed: dict[str, str] = {}
    looks: dict[Case, list[dict[str, Any]]] = {}
    for group in document["groups"]:
        as_they_are = group["rules"]
        group["rules"] = [rule for rule in as_they_are if "record" in rule]
        for rule in (rule for rule in as_they_are if "alert" in rule):
            for what, easier in loosened(rule, step):
                name = f"{rule['alert']}_{len(changed)}"
                changed[name] = f"{rule['alert']}, {rule['labels']['severity']}: {what}"
                group["rules"].append(easier | {"alert": name})
                for case in (case for case in CASES if case.alert == rule["alert"]):
                    looks.setdefault(case, []).extend(
                        {"eval_time": at, "alertname": name, "exp_alerts": []} for at in quiet_times(case, rule)
                    )
    (tmp_path / "rules.json").write_text(json.dumps(document))
    files = [promtool.RECORDING, tmp_path / "rules.json"]
    tests = [promtool.story(case) | {"alert_rule_test": told} for case, told in looks.items()]
    said = promtool.judged(tmp_path, files, tests, every=every, order=rules.groups([promtool.RECORDING, path]))
    told = set(re.findall(r"alertname: (\w+),", said))
    assert told <= set(changed), said
    unseen = [what for name, what in changed.items() if name not in told]
    assert unseen == [], "\n".join(unseen)
