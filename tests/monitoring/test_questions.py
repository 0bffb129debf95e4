"""What dashboards ask, of series that begin and end: deploys are marked once, however long a time is looked at, and
what is counted for all goes on when a clock takes the place of another.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from monitoring.grafana import ask, fill
from monitoring.grafana.model import Query
from monitoring.grafana.write import DEPLOYS
from tests.monitoring import promtool

#: Scrapes, one in 30 s: of version 1 for a day, with four minutes without, then of version 2 for a day.
DAY = 24 * 120
VALUES = {"1": f"1x{DAY // 2} _x8 1x{DAY // 2 - 9} stale", "2": f"_x{DAY + 7} 1x{DAY}"}
SERIES = {f'millrace_build_info{{job="millrace-web", role="web", version="{n}"}}': v for n, v in VALUES.items()}


@pytest.mark.parametrize("step", [30, 300, 1800, 7200], ids="{0} s".format)
def test_a_deploy_is_marked_at_one_step_of_any_length(step: int, tmp_path: pathlib.Path) -> None:
    expr = fill.fill(Query(DEPLOYS), {}, interval="1m", span="2d", step=f"{step}s")
    deployed = (DAY + 7) * 30
    first = -(-deployed // step) * step  # The first step at which it is there.
    near = range(max(step, first - 20 * step), first + 20 * step, step)
    asked = [at for at in near if at < 2 * DAY * 30]
    looks = [
        {
            "expr": expr,
            "eval_time": f"{at}s",
            "exp_samples": [{"labels": '{role="web", version="2"}', "value": 1}] if at == first else [],
        }
        for at in asked
    ]
    # While version 1 starts again.
    again = DAY // 2 * 30
    looks += [{"expr": expr, "eval_time": f"{at}s", "exp_samples": []} for at in range(again - 300, again + 600, 30)]
    hold(tmp_path, SERIES, looks)


def test_what_every_clock_counts_goes_on_when_another_takes_its_place(tmp_path: pathlib.Path) -> None:
    """The ledger's count rises by one in 30 s, for an hour; after half of it one clock is gone and another is there."""
    name = 'millrace_events_tallied_total{job="millrace-clock", instance="%s", type="a.b", word="dead"}'
    series = {name % "old": "900+1x60 stale", name % "new": "_x60 960+1x60"}
    query = Query(ask.highest_total("millrace_events_tallied_total", by="type"))
    expr = fill.fill(query, {}, interval="1m", span="1h", step="1m")
    asked = f"({expr} >= bool 115) * ({expr} <= bool 122)"
    look = {"expr": asked, "eval_time": "60m", "exp_samples": [{"labels": '{type="a.b"}', "value": 1}]}
    hold(tmp_path, series, [look])


def hold(folder: pathlib.Path, series: dict[str, str], looks: list[dict[str, Any]]) -> None:
    """Have Prometheus answer."""
    story = {"interval": "30s", "input_series": [{"series": s, "values": v} for s, v in series.items()]}
    written = folder / "case.json"
    written.write_text(json.dumps({"rule_files": [], "tests": [{**story, "promql_expr_test": looks}]}))
    promtool.run("test", "rules", str(written))
