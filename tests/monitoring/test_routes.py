"""Who is told of an alert, and what is kept quiet because its cause is told already."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.monitoring import rules
from tests.servers import need_prometheus

PATH = rules.ROOT / "monitoring/alertmanager/alertmanager.yml"


def amtool(*words: str) -> str:
    need_prometheus()
    done = subprocess.run(["amtool", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_alertmanager_takes_the_configuration() -> None:
    assert "SUCCESS" in amtool("check-config", str(PATH))


@pytest.mark.parametrize(
    ("severity", "receiver"), [("critical", "page"), ("warning", "tickets"), ("info", "none"), ("none", "heartbeat")]
)
def test_every_alert_goes_to_whom_its_severity_names(severity: str, receiver: str) -> None:
    names = {rule.alert for rule in rules.alerts() if rule.fields["severity"] == severity}
    assert names
    for name in names:
        words = ("config", "routes", "test", f"--config.file={PATH}", f"alertname={name}", f"severity={severity}")
        assert amtool(*words) == receiver, name


def test_what_keeps_alerts_quiet_names_alerts_that_there_are() -> None:
    every = {rule.alert for rule in rules.alerts()}
    patterns = re.findall(r'alertname=~?"([^"]+)"', PATH.read_text())
    assert len(patterns) > 10
    for pattern in patterns:
        for one in re.split(r"\|(?![^(]*\))", pattern):
            assert [name for name in every if re.fullmatch(one, name)], f"{one} is no alert"


def test_no_cause_is_kept_quiet_by_what_follows_from_it() -> None:
    """Two that quiet each other would both be silent."""
    blocks = PATH.read_text().partition("inhibit_rules:")[2].split("- source_matchers:")[1:]
    quiets: dict[str, set[str]] = {}
    every = {rule.alert for rule in rules.alerts()}
    for block in blocks:
        source, _, target = block.partition("target_matchers:")
        causes, effects = (
            {
                name
                for pattern in re.findall(r'alertname=~?"([^"]+)"', part)
                for name in every
                if re.fullmatch(pattern, name)
            }
            for part in (source, target)
        )
        for cause in causes:
            quiets.setdefault(cause, set()).update(effects)
    assert quiets["MillraceLedgerAway"] > {"MillraceCanaryLost", "MillraceAcceptBudgetBurn"}
    for cause, effects in quiets.items():
        for effect in effects:
            assert cause not in quiets.get(effect, set()), f"{cause} and {effect} quiet each other"
