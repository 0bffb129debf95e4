"""A dashboard as the JSON that Grafana loads (schema version 39: Grafana 10.4 and later)."""

from __future__ import annotations

import json
import re
from typing import Any

from monitoring.grafana import looks
from monitoring.grafana.model import COLOURS, Board, Kind, Panel, Query, Row, Variable

COLUMNS = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

#: Marks on every graph: a version that was not there at the step before, nor in the five minutes until then, for a
#: restart is none, and for so long Prometheus takes a series for alive. And processes as they start.
DEPLOYS = (
    'count by (role, version) (millrace_build_info{job=~"$job"}) unless on (role, version)'
    ' count by (role, version) (present_over_time(millrace_build_info{job=~"$job"}[5m] offset $__interval))'
)
STARTS = 'process_start_time_seconds{job=~"$job"} * 1000 and on (job, instance) millrace_build_info'
#: Histograms that carry trace ids.
TRACED = (
    "millrace_http_request_duration_seconds",
    "millrace_event_commit_latency_seconds",
    "millrace_event_start_latency_seconds",
    "millrace_event_run_duration_seconds",
)


def text(board: Board, boards: tuple[Board, ...]) -> str:
    """The file."""
    return json.dumps(document(board, boards), indent=1, ensure_ascii=False) + "\n"


def document(board: Board, boards: tuple[Board, ...]) -> dict[str, Any]:
    """The dashboard; ``boards`` are those that it links to."""
    return {
        "uid": board.uid,
        "title": board.title,
        "description": f"{board.about} {board.when}",
        "tags": ["millrace"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,  # One crosshair for all.
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "fiscalYearStartMonth": 0,
        "annotations": {"list": _annotations()},
        "links": [_link(other) for other in boards if other.uid != board.uid],
        "templating": {"list": [_datasource(), *(_variable(v) for v in board.variables)]},
        "panels": _panels(board),
    }


def _panels(board: Board) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    y = 0
    for row in board.rows:
        found.append(_row(row, y, len(found) + 1))
        y += 1
        x = tallest = 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
            found.append(_panel(panel, place, len(found) + 1))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return found


def _row(row: Row, y: int, number: int) -> dict[str, Any]:
    place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
    return {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}


def _panel(panel: Panel, place: dict[str, int], number: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": str(panel.kind),
        "title": panel.title,
        "description": description(panel),
        "datasource": SOURCE,
        "gridPos": place,
        "targets": [_target(panel, query, place) for place, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": looks.defaults(panel), "overrides": looks.overrides(panel)},
        "options": looks.OPTIONS[panel.kind](panel),
        **({"transformations": _transformations(panel)} if panel.kind is Kind.TABLE else {}),
    }


def description(panel: Panel) -> str:
    """What stands behind the *i* in its corner."""
    quiet = f" Empty when {panel.quiet}." if panel.quiet else ""
    return f"{panel.tells}{quiet}\n\n{panel.act}"


def _target(panel: Panel, query: Query, place: int) -> dict[str, Any]:
    table = panel.kind is Kind.TABLE
    once = table or (panel.kind is Kind.STAT and "$__range" in query.expr)
    return {
        "refId": chr(ord("A") + place),
        "datasource": SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or ("{{le}}" if panel.kind is Kind.HEAT else "__auto"),
        "format": "table" if table else "heatmap" if panel.kind is Kind.HEAT else "time_series",
        "instant": once,
        "range": not once,
        "editorMode": "code",
        # A point of a quantile leads to a trace that was so slow.
        "exemplar": panel.kind is Kind.GRAPH and any(f"{name}_bucket" in query.expr for name in TRACED),
        # Steps as long as `$__interval`, and no shorter than four scrapes: a column of a heat map counts what no other
        # one counts.
        **({"interval": "1m"} if panel.kind is Kind.HEAT else {}),
    }


def _transformations(panel: Panel) -> list[dict[str, Any]]:
    """Several questions become the columns of one table."""
    letters = [chr(ord("A") + place) for place in range(len(panel.queries))]
    names = {f"Value #{letter}": query.legend for letter, query in zip(letters, panel.queries, strict=True)}
    if len(letters) == 1:
        names = {"Value": panel.queries[0].legend}
    gone = {"Time": True, **dict.fromkeys(panel.hidden, True)}
    organize = {"id": "organize", "options": {"excludeByName": gone, "indexByName": {}, "renameByName": names}}
    return [{"id": "merge", "options": {}}, organize] if len(letters) > 1 else [organize]


def _annotations() -> list[dict[str, Any]]:
    def mark(name: str, expr: str, title: str, colour: str, **more: Any) -> dict[str, Any]:
        given = {"name": name, "datasource": SOURCE, "enable": True, "hide": False, "iconColor": colour}
        return {**given, "expr": expr, "titleFormat": title, "step": "30s", "useValueForTime": False, **more}

    return [
        mark("Deploys", DEPLOYS, "{{role}} {{version}} is deployed", COLOURS["published"]),
        mark("Starts", STARTS, "{{job}} {{instance}} starts", COLOURS["skipped"], enable=False, useValueForTime=True),
    ]


def _link(board: Board) -> dict[str, Any]:
    return {
        "title": board.title.removeprefix("Millrace / "),
        "type": "link",
        "url": f"/d/{board.uid}",
        "icon": "dashboard",
        "tooltip": board.about,
        "tags": [],
        "asDropdown": False,
        "targetBlank": False,
        "includeVars": True,
        "keepTime": True,
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}


def _variable(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": SOURCE,
        "definition": variable.query,
        "query": {"query": variable.query, "refId": variable.name},
        "refresh": 2,  # When the time range changes: a new type shows without a reload.
        "sort": 1,
        "multi": True,
        "includeAll": True,
        **({"allValue": ".*"} if variable.ours else {}),
        "current": {"text": ["All"], "value": ["$__all"]},
        "hide": 0,
    }


def variables_in(expr: str) -> set[str]:
    """The variables of a dashboard that a question uses."""
    return {name for name in re.findall(r"\$\{?(\w+)", expr) if not name.startswith("__")}
