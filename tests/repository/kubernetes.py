"""The rules of Prometheus as its operator wants them. ``python -m tests.repository.pages`` writes them anew."""

from __future__ import annotations

import re
import textwrap

from tests.processes import ROOT

RULES = ROOT / "monitoring/prometheus/rules"
#: Those of the example's handlers; yours are printed by `millrace objectives`.
NOT_OURS = {"objectives"}


def rules() -> str:
    """``deploy/kubernetes/components/monitoring/rules.yaml``: a PrometheusRule for each file."""
    found = ["# Generated from monitoring/prometheus/rules; `make verify` compares.\n"]
    for path in sorted(RULES.glob("*.yml")):
        if path.stem in NOT_OURS:
            continue
        groups = re.sub(r"\A(#.*\n)+", "", path.read_text())
        head = "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n"
        found.append(f"---\n{head}  name: millrace-{path.stem}\nspec:\n{textwrap.indent(groups, '  ')}")
    return "".join(found)
